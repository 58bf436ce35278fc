"""What the commands of `salmon_core.cli` do."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from salmon_core.components import options_model
from salmon_core.config import RUN_NAME
from salmon_core.console import ConsoleWatcher, print_report
from salmon_core.errors import SalmonError
from salmon_core.hookspecs import KINDS
from salmon_core.lookup import find_principle_set
from salmon_core.outside import drawn_outside, outside_rollout
from salmon_core.pipeline import TRAINING, Pipeline, active_stages
from salmon_core.plugins import Owned, Registry
from salmon_core.principle_files import read_salmon_json, write_salmon_json, write_yaml
from salmon_core.resolve import Resolved, load
from salmon_core.rollout_files import read_rollouts
from salmon_core.runs import read_json
from salmon_core.view import RunView

_OUT = Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def check_config(path: Path, overrides: Sequence[str], *, file_plugins: bool) -> None:
    """Prints a summary, or raises with all problems."""
    resolved = load(path, overrides, file_plugins=file_plugins)
    _announce(resolved)
    Pipeline(resolved).plans()
    config = resolved.config
    stages = ", ".join(active_stages(resolved))
    _OUT.print(f"[green]ok[/green] {escape(str(path))}")
    rows = {
        "run": f"{config.run.name}, seed {config.run.seed}",
        "policy": config.policy.model,
        "prompts": resolved.prompts.name,
        "judge": f"{resolved.generator.name}, principles: {', '.join(p.name for p in resolved.judge_principles)}",
        "reward": f"{config.reward.show} of: {', '.join(p.name for p in resolved.reward_principles)}",
        "interventions": ", ".join(item.shown.name for item in resolved.interventions) or "none",
        "bonuses": ", ".join(f"{b.weight:g} x {b.label}" for b in resolved.bonuses) or "none",
        "train": f"{config.train.algorithm} on {config.train.backend}",
        "evaluate": ", ".join(e.name for e in resolved.evaluators) or "nothing",
        "stages": stages,
    }
    for key, value in rows.items():
        _OUT.print(f"  {key:14}{escape(value if len(value) <= 300 else value[:297] + '...')}")
    for broken in resolved.registry.broken[:5]:
        _OUT.print(f"  [yellow]broken plugin[/yellow] {escape(str(broken.owner))}: {escape(broken.reason[:200])}")


def print_plan(path: Path, overrides: Sequence[str], *, file_plugins: bool, as_json: bool) -> None:
    """Every stage with the processes it would start."""
    resolved = load(path, overrides, file_plugins=file_plugins)
    pipeline = Pipeline(resolved)
    plans: dict[str, Any] = {}
    training = pipeline.plans()
    for stage in pipeline.stages:
        if stage == "report":
            continue
        task = [sys.executable, "-m", "salmon_core.worker", stage, str(pipeline.folder)]
        plans[stage] = {"steps": [{"name": stage, "argv": task, "env": {}}], "services": [], "files": {}, "expects": []}
        if stage in TRAINING:
            plan = asdict(training[stage])
            plans[stage] = plan | {"steps": [*plans[stage]["steps"], *plan["steps"]]}
    if as_json:
        print(json.dumps(plans, indent=1))
        return
    for stage, plan in plans.items():
        print(f"{stage}:")
        for kind in ("services", "steps"):
            for process in plan[kind]:
                environment = "".join(f"{key}={value} " for key, value in process["env"].items())
                print(f"  {kind.removesuffix('s')} {process['name']}: {environment}{' '.join(process['argv'])}")
        for name, text in plan["files"].items():
            print(f"  file {name}:")
            print("".join(f"    {line}\n" for line in text.splitlines()), end="")
        if plan["expects"]:
            print(f"  expects: {', '.join(plan['expects'])}")


def run_pipeline(
    path: Path, overrides: Sequence[str], *, file_plugins: bool, start: str | None, until: str | None
) -> int:
    """Runs, prints the report; 1 if an expectation does not hold."""
    resolved = load(path, overrides, file_plugins=file_plugins)
    _announce(resolved)
    watcher = ConsoleWatcher()
    pipeline = Pipeline(resolved, watcher=watcher)
    report = pipeline.run(start=start, until=until)
    if not report:
        return 0
    print_report(report, _OUT)
    model = pipeline.folder / "train-policy" / "model"
    _OUT.print(escape(f"report: {pipeline.folder / 'report.json'}   model: {model}"))
    return 0 if all(item["holds"] for item in report["expect"]) else 1


def _announce(resolved: Resolved) -> None:
    for name in resolved.config.plugins:
        print(f"using the file plugin {name}: code from {resolved.base} runs", file=sys.stderr)


def score_file(folder: Path, file: Path, output: Path | None, principles: Sequence[str], rollout_index: int) -> None:
    """Scores rows of a file with a run's reward."""
    run = RunView.open(folder)
    known = run.resolved.reward_principles.names
    for name in principles:
        if name not in known:
            raise SalmonError(f"the run's reward has no principle {name!r}", hint=f"it has {', '.join(known)}")
    rollouts = []
    for row in read_rollouts(file):
        shown = drawn_outside(run.resolved, row.prompt, principles) if row.principles is None else row.principles
        rollouts.append(
            outside_rollout(
                run.reward,
                run.policy_codec,
                row.prompt,
                row.completion,
                shown,
                completion_ids=row.completion_ids,
                n_tokens=row.n_tokens,
                stopped=row.stopped,
                rollout_index=rollout_index,
            )
        )
    lines = []
    for start in range(0, len(rollouts), 256):
        batch = rollouts[start : start + 256]
        for rollout, breakdown in zip(batch, run.reward(batch), strict=True):
            lines.append(json.dumps({"prompt_id": rollout.prompt_id, **asdict(breakdown)}, ensure_ascii=False))
    text = "".join(line + "\n" for line in lines)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def serve_reward(
    config: Path | None,
    job: Path | None,
    *,
    overrides: Sequence[str],
    no_file_plugins: bool,
    run: Path | None,
    rm: Path | None,
    rows: Path | None,
    **settings: Any,
) -> None:
    """Serves the reward of a configuration or of a job until a signal ends it."""
    from salmon_core.serving.run import Settings, serve
    from salmon_core.serving.sources import from_config, from_job

    if (config is None) == (job is None):
        raise SalmonError("give either CONFIG or --job", hint="see salmon serve --help")
    if config is None:
        assert job is not None
        if overrides or run or rm or rows:
            raise SalmonError("a job brings its own run, reward model and rows", where="--job", hint="give no others")
        source = from_job(job)
    else:
        plugins = not no_file_plugins
        source = from_config(config, overrides, file_plugins=plugins, run=run, reward_model=rm, rows=rows)
        assert source.resolved is not None
        _announce(source.resolved)
    serve(source, Settings(**settings))


def list_plugins(*, as_json: bool, kind: str | None) -> None:
    """Components by kind; broken plugins at the end. Never fails because of a plugin."""
    if kind is not None and kind not in KINDS:
        raise SalmonError(f"there is no kind {kind!r}", hint=f"kinds: {', '.join(KINDS)}")
    registry = Registry.discover()
    found = [owned for owned in registry if kind in (None, owned.kind)]
    broken = [asdict(item.owner) | {"reason": item.reason} for item in registry.broken]
    if as_json:
        print(json.dumps({"components": [_described(owned) for owned in found], "broken": broken}, indent=1))
        return
    for each in KINDS:
        owned_here = [owned for owned in found if owned.kind == each]
        if not owned_here:
            continue
        _OUT.print(f"[bold]{each}[/bold]")
        for owned in owned_here:
            source = f"{owned.owner.distribution} {owned.owner.version}"
            _OUT.print(f"  {owned.name:18} {escape(owned.component.summary)}  [dim]{escape(source)}[/dim]")
    for item in broken:
        name = f"{item['plugin']} ({item['distribution']} {item['version']})"
        _OUT.print(f"[red]broken[/red] {escape(name)}: {escape(item['reason'])}")


def _described(owned: Owned) -> dict[str, Any]:
    values: dict[str, Any] = {
        "kind": owned.kind,
        "name": owned.name,
        "plugin": owned.owner.plugin,
        "distribution": owned.owner.distribution,
        "version": owned.owner.version,
        "summary": owned.component.summary,
        "options": None,
        "broken": None,
    }
    try:
        target = owned.load()
        if owned.kind == "backends":
            backend = target()
            options: dict[str, Any] = {}
            for stage in sorted(backend.stages):
                for algorithm in sorted(backend.algorithms) if stage == "train-policy" else [None]:
                    key = stage if algorithm is None else f"{stage}: {algorithm}"
                    options[key] = backend.options_for(stage, algorithm).model_json_schema()
            values["options"] = options
        elif (model := options_model(target)) is not None:
            values["options"] = model.model_json_schema()
    except Exception as error:
        values["broken"] = str(error)
    return values


def list_principles() -> None:
    registry = Registry.discover()
    table = Table("set", "principles", "negated", "description", "from", box=None, pad_edge=False)
    for owned in registry.components["principle_sets"]:
        try:
            found = find_principle_set(registry, f"{owned.owner.distribution}/{owned.name}", Path.cwd())
        except SalmonError as error:
            table.add_row(owned.name, "-", "-", escape(f"broken: {error}"), str(owned.owner))
            continue
        negated = sum(p.negated is not None for p in found)
        table.add_row(owned.name, str(len(found)), str(negated), escape(found.description), str(owned.owner))
    _OUT.print(table)


def show_principles(name: str, *, as_json: bool) -> None:
    found = find_principle_set(Registry.discover(), name, Path.cwd())
    if as_json:
        write_salmon_json(found, Path("/dev/stdout"), kind="reward-model" if all(p.negated for p in found) else "rl")
        return
    _OUT.print(f"[bold]{escape(found.name)}[/bold] {escape(found.description)}")
    for principle in found:
        extra = "".join(f", +{boost:g} on {category}" for category, boost in principle.categories.items())
        _OUT.print(f"\n[bold]{escape(principle.name)}[/bold] (weight {principle.weight:g}{extra})")
        _OUT.print(f"  {escape(principle.text)}")
        if principle.negated:
            _OUT.print(f"  [dim]negated:[/dim] {escape(principle.negated)}")


def import_principles(source: Path, target: Path) -> None:
    if target.exists():
        raise SalmonError("the file exists already", where=str(target), hint="give another name")
    found = read_salmon_json(source)
    write_yaml(found, target)
    _OUT.print(escape(f"{len(found)} principles written to {target}"))


def show_report(folder: Path, *, as_json: bool) -> int:
    report = read_json(folder / "report.json")
    if not isinstance(report, dict):
        raise SalmonError("there is no report.json", where=str(folder), hint="salmon run writes it at the end")
    try:
        holds = all(item["holds"] for item in report["expect"])
        if as_json:
            print(json.dumps(report, indent=1, ensure_ascii=False))
        else:
            print_report(report, _OUT)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"report.json is not as salmon run writes it: {type(error).__name__}: {error}"
        raise SalmonError(said, where=str(folder), hint="salmon run writes it anew") from None
    return 0 if holds else 1


def init_folder(folder: Path, model: str, name: str | None) -> None:
    """A configuration to start from."""
    from salmon_core.starter import starter_files

    run_name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("._-")[:60] or "first"
    if not re.fullmatch(RUN_NAME, run_name):
        raise SalmonError(f"{run_name!r} is no name for a run", hint="letters, digits, dots, dashes and underscores")
    for relative, text in starter_files(run_name, model).items():
        target = folder / relative
        if target.exists():
            _OUT.print(escape(f"kept    {target}"))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        _OUT.print(escape(f"written {target}"))
    config = folder / "salmon.yaml"
    _OUT.print(escape(f"next: salmon check {config}, then salmon run {config}"))
