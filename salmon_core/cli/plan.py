"""`salmon plan`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape

from salmon_core.cli.counts import Counts, counts_of, shown_count
from salmon_core.cli.memory import memory_of, model_files, print_memory
from salmon_core.cli.output import OUT
from salmon_core.config.resolve import load
from salmon_core.pipeline import Pipeline
from salmon_core.stages import stage
from salmon_core.stages.base import worker_argv


def print_plan(
    path: Path,
    overrides: Sequence[str],
    *,
    file_plugins: bool,
    as_json: bool,
    full: bool = False,
    quick: bool = False,
    models: Sequence[str] = (),
) -> None:
    """What the run will do in numbers, what memory that takes, then every stage with the processes it would start.

    Args:
        full: with environments, files and what has to be left.
        quick: read no prompts and no tokenizer for the numbers.
        models: `MODEL=FILE`, of models whose sizes are in a file.

    Raises:
        ConfigError: what is wrong with the configuration, or with `models`.
    """
    files = model_files(models)
    pipeline = Pipeline(load(path, overrides, file_plugins=file_plugins))
    plans = _plans(pipeline)
    counts = counts_of(pipeline, read=not quick)
    for name, plan in plans.items():
        plan["counts"] = counts.stages.get(name, {})
    memory = memory_of(pipeline, files)
    for each in memory:
        plans[each.name]["memory"] = each.to_json()
    if as_json:
        print(json.dumps(plans, indent=1))
        return
    _print_counts(pipeline.run_of.config.config.run.name, counts)
    print_memory(memory)
    for name, plan in plans.items():
        _print_stage(name, plan, full=full)


def _plans(pipeline: Pipeline) -> dict[str, Any]:
    plans: dict[str, Any] = {}
    training = pipeline.plans()
    for name in pipeline.stages:
        if not stage(name).keeps:
            continue
        own = {"name": name, "argv": worker_argv(name, pipeline.folder), "env": {}}
        plans[name] = {"steps": [own], "services": [], "files": {}, "expects": [], "memory": None}
        if name in training:
            plan = asdict(training[name])
            plans[name] = plan | {"steps": [own, *plan["steps"]], "memory": None}
    return plans


def _print_counts(run: str, counts: Counts) -> None:
    OUT.print(f"[bold]{escape(run)}[/bold]")
    numbers = [shown_count(line) for line in counts.lines]
    width = max(map(len, numbers))
    for line, number in zip(counts.lines, numbers, strict=True):
        OUT.print(f"  {line.name:18}[bold]{number:>{width}}[/bold]  {escape(line.meaning)}")
    for note in counts.notes:
        OUT.print(f"  [dim]note[/dim] {escape(note)}")


def _print_stage(name: str, plan: Mapping[str, Any], *, full: bool) -> None:
    print(f"{name}:")
    for kind in ("services", "steps"):
        for process in plan[kind]:
            environment = "".join(f"{key}={value} " for key, value in process["env"].items()) if full else ""
            print(f"  {kind.removesuffix('s')} {process['name']}: {environment}{' '.join(process['argv'])}")
    if not full:
        return
    for file, text in plan["files"].items():
        if file.endswith(".py"):  # a script that is copied; --json has it whole
            print(f"  file {file}: {len(text.splitlines())} lines")
            continue
        print(f"  file {file}:")
        print("".join(f"    {line}\n" for line in text.splitlines()), end="")
    if plan["expects"]:
        print(f"  expects: {', '.join(plan['expects'])}")
