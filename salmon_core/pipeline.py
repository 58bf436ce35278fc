"""The river: prompts -> sft? -> sample -> judge -> aggregate -> train-rm -> train-policy -> evaluate -> report."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import salmon_core
from salmon_core.backends import make_job, make_plan, train
from salmon_core.errors import ConfigError, Problem, SalmonError
from salmon_core.interfaces import STAGES, Event, Job, LaunchPlan, ModelSpec
from salmon_core.launch import Lock, run_step
from salmon_core.report import build_report
from salmon_core.resolve import Resolved, Selected, from_document, load
from salmon_core.reward import reward_spec
from salmon_core.runs import StageFolder, file_identity, fingerprint, model_identity, read_json, write_json

TRAINING = ("sft", "train-rm", "train-policy")


class Watcher(Protocol):
    """What a run tells whoever looks on; see `salmon_core.console`."""

    def started(self, stage: str, *, resumed: bool) -> None: ...
    def progress(self, stage: str, done: int, total: int, what: str) -> None: ...
    def event(self, stage: str, event: Event) -> None: ...
    def finished(self, stage: str, manifest: Mapping[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


class Silent:
    """A watcher that says nothing."""

    def started(self, stage: str, *, resumed: bool) -> None: ...
    def progress(self, stage: str, done: int, total: int, what: str) -> None: ...
    def event(self, stage: str, event: Event) -> None: ...
    def finished(self, stage: str, manifest: Mapping[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...


def active_stages(resolved: Resolved) -> list[str]:
    """The stages this configuration needs, in order."""
    config = resolved.config
    skipped = set()
    if config.sft is None:
        skipped.add("sft")
    needs_rm_training = config.reward_model.path is None and config.reward.rm_weight != 0
    if not needs_rm_training:
        skipped.add("train-rm")
    if not needs_rm_training or config.preferences is not None:
        skipped |= {"sample", "judge", "aggregate"}
    if config.train.algorithm == "none":
        skipped.add("train-policy")
    if not config.evaluate:
        skipped.add("evaluate")
    return [stage for stage in STAGES if stage not in skipped]


class Pipeline:
    """One run of one configuration.

    Args:
        folder: the run's folder; by default `run.folder/run.name` under the working directory.
    """

    def __init__(self, resolved: Resolved, *, folder: Path | None = None, watcher: Watcher | None = None):
        config = resolved.config.run
        self.resolved = resolved
        self.folder = (folder or Path(config.folder) / config.name).resolve()
        self.watcher: Watcher = watcher or Silent()
        self.stages = active_stages(resolved)
        self._marks: dict[str, str] = {}

    def run(self, *, start: str | None = None, until: str | None = None) -> dict[str, Any]:
        """Runs what is not finished yet.

        Args:
            start: do this stage and all after it anew, finished or not.
            until: stop after this stage.

        Returns:
            the report, or {} if it was not reached.

        Raises:
            SalmonError: a stage failed; what it finished is kept.
        """
        for name in (start, until):
            if name is not None and name not in self.stages:
                raise SalmonError(f"this run has no stage {name!r}", hint=f"its stages: {', '.join(self.stages)}")
        self.plans()  # impossible options show before anything runs
        self.folder.mkdir(parents=True, exist_ok=True)
        report, failure = None, None
        document = self.resolved.config.model_dump(mode="json")
        with Lock(self.folder) as lock:
            saved = {"document": document, "base": str(self.resolved.base), "source": self.resolved.source}
            write_json(self.folder / "config.json", saved)
            self._observe("salmon_run_started", run=str(self.folder), config=document)
            try:
                anew = False
                for stage in self.stages:
                    anew = anew or stage == start
                    manifest = self._stage(stage, lock, anew=anew)
                    self.watcher.finished(stage, manifest)
                    self._observe("salmon_stage_finished", run=str(self.folder), stage=stage, manifest=manifest)
                    if stage == until:
                        break
                report = read_json(self.folder / "report.json") if self.stages[-1] in self._marks else None
            except BaseException as error:
                failure = str(error) or type(error).__name__
                raise
            finally:
                self._observe("salmon_run_finished", run=str(self.folder), report=report, error=failure)
        return report or {}

    def _observe(self, hook: str, **values: Any) -> None:
        for error in self.resolved.registry.observe(hook, **values):
            self.watcher.note(f"observer failed: {error}")

    def plans(self) -> dict[str, LaunchPlan]:
        """What each training stage's backend would run.

        Raises:
            ConfigError: everything that cannot work.
        """
        plans, problems = {}, []
        keys = {"sft": "sft", "train-rm": "reward_model", "train-policy": "train"}
        for stage in self.stages:
            if stage not in TRAINING:
                continue
            try:
                plans[stage] = make_plan(self.resolved, self.job(stage))
            except ConfigError as error:
                source, key = self.resolved.source, keys[stage]
                problems += [Problem(f"{key}: {p.place}", p.message, p.hint, source) for p in error.problems]
        if problems:
            raise ConfigError(problems)
        return plans

    def job(self, stage: str) -> Job:
        """The job of a training stage."""
        return make_job(self.resolved, stage, self.folder, self.policy, self.reward_model)

    # -- one stage -----------------------------------------------------------------------------------------------

    def _stage(self, stage: str, lock: Lock, *, anew: bool) -> dict[str, Any]:
        folder = StageFolder(self.folder, stage)
        if stage == "report":
            return self._report()
        parts = self.parts(stage)
        mark = self._marks[stage] = fingerprint(parts)
        if folder.finished(mark) and not anew:
            return folder.manifest | {"skipped": True}
        if anew and folder.path.exists():
            folder.outdate()
        resumed = folder.manifest.get("fingerprint") == mark
        if (archived := folder.begin(mark, parts, {"run": self.resolved.config.run.seed})) is not None:
            self.watcher.note(f"{stage}: the configuration changed; the old result is in {archived}")
        self.watcher.started(stage, resumed=resumed)
        started = time.monotonic()
        try:
            metrics = self._work(stage, folder, lock)
        except BaseException:
            folder.interrupted(time.monotonic() - started)
            raise
        return folder.finish(time.monotonic() - started, metrics)

    def _work(self, stage: str, folder: StageFolder, lock: Lock) -> dict[str, Any]:
        prepared = {"sft": "data/train.parquet", "train-rm": "data/train.parquet", "train-policy": "rl_prompts.parquet"}
        if not (stage in prepared and (folder.path / prepared[stage]).exists()):
            self._task(stage, folder, lock)
        if stage not in TRAINING:
            return read_json(folder.path / "metrics.json") or {}

        def on_event(event: Event) -> None:
            self.watcher.event(stage, event)
            self._observe("salmon_event", run=str(self.folder), stage=stage, step=event.step, values=event.values)

        return train(self.resolved, self.job(stage), folder, lock, on_event)

    def _task(self, stage: str, folder: StageFolder, lock: Lock) -> None:
        shown: list[Any] = [None]

        def watch() -> None:
            now = read_json(folder.path / "progress.json")
            if now and now != shown[0]:
                shown[0] = now
                self.watcher.progress(stage, now["done"], now["total"], now["what"])

        argv = [sys.executable, "-m", "salmon_core.worker", stage, str(self.folder)]
        env = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
        run_step(stage, argv, env=env, cwd=folder.path, lock=lock, watch=watch)

    @property
    def policy(self) -> ModelSpec:
        base = self.resolved.models["policy"]
        if "sft" not in self.stages:
            return base
        return replace(base, path=str(self.folder / "sft" / "model"), adapter=None)

    @property
    def reward_model(self) -> ModelSpec | None:
        if "reward" in self.resolved.models:
            return self.resolved.models["reward"]
        if "train-rm" not in self.stages:
            return None
        return replace(self.policy, path=str(self.folder / "train-rm" / "model"), adapter=None)

    def _report(self) -> dict[str, Any]:
        started = time.monotonic()
        manifests = {name: StageFolder(self.folder, name).manifest for name in self.stages if name != "report"}
        report = build_report(self.resolved, self.folder, manifests)
        write_json(self.folder / "report.json", report)
        self._marks["report"] = "made"
        return {"stage": "report", "status": "finished", "seconds": time.monotonic() - started, "metrics": {}}

    # -- fingerprints --------------------------------------------------------------------------------------------

    def parts(self, stage: str) -> dict[str, Any]:
        """What a stage is made from; equal parts mean an equal result."""
        resolved, config, marks = self.resolved, self.resolved.config, self._marks
        parts: dict[str, Any] = {"stage": stage, "core": salmon_core.__version__, "seed": config.run.seed}
        if stage in ("prompts", "sft"):
            policy: Any = None if stage == "prompts" else model_identity(resolved.models["policy"])
        else:
            policy = marks.get("sft") or model_identity(resolved.models["policy"])
        text = {"template": asdict(resolved.template), "limits": asdict(resolved.limits)}
        engines = {name: selected.identity() for name, selected in resolved.engines.items()}
        if stage == "prompts":
            prompts = resolved.prompts
            path = prompts.options.get("path")
            content = file_identity(Path(path)) if isinstance(path, str) and Path(path).is_file() else None
            identity = prompts.identity()
            if content is not None:  # a project may be moved
                identity["options"] = {key: value for key, value in prompts.options.items() if key != "path"}
            parts |= {"prompts": identity, "content": content, "held_out": config.held_out}
        elif stage == "sft":
            assert config.sft is not None
            parts |= {"policy": policy, **text, "data": file_identity(resolved.base / config.sft.data)}
        elif stage == "sample":
            settings = config.sample.model_dump(exclude={"engine"})
            parts |= {
                "policy": policy,
                **text,
                "prompts": marks["prompts"],
                "sample": settings,
                "engine": engines["sample"],
            }
        elif stage == "judge":
            parts |= {
                "sample": marks["sample"],
                **text,
                "generator": _judging(resolved.generator),
                "principles": [asdict(p) for p in resolved.judge_principles],
                "engine": engines["judge"],
                "model": model_identity(resolved.models["judge"]) if "judge" in resolved.models else policy,
                "shard_size": config.judge.shard_size,
            }
        elif stage == "aggregate":
            parts |= {"judge": marks["judge"], "generator": resolved.generator.identity()}
        elif stage == "train-rm":
            own = config.preferences
            parts |= {
                "preferences": marks["aggregate"] if own is None else file_identity(resolved.base / own),
                "init": model_identity(resolved.models["reward-init"]) if "reward-init" in resolved.models else policy,
                **text,
            }
        elif stage == "train-policy":
            spec = reward_spec(resolved, None)
            reward = marks.get("train-rm") or model_identity(resolved.models.get("reward"))
            parts |= {
                "policy": policy,
                **text,
                "prompts": marks["prompts"],
                "reward_model": reward if config.reward.rm_weight != 0 else None,
                "reward": {
                    key: spec[key] for key in ("rm_weight", "combine", "interventions", "on_failure", "weights")
                },
                "engine": engines["reward"],
                "bonuses": [[b.label, b.weight, b.selected.identity()] for b in resolved.bonuses],
                "principles": [asdict(p) for p in resolved.reward_principles],
                "negate": config.reward.principles.negate,
                "show": config.reward.show,
                "train": config.train.model_dump(exclude={"python", "options"}),
            }
        elif stage == "evaluate":
            parts |= {
                "policy": marks.get("train-policy") or policy,
                "prompts": marks["prompts"],
                **text,
                "reward_model": marks.get("train-rm") or model_identity(resolved.models.get("reward")),
                "evaluators": [selected.identity() for selected in resolved.evaluators],
                "principles": [asdict(p) for p in resolved.judge_principles],
                "sample": config.sample.model_dump(exclude={"engine"}),
            }
        if stage in TRAINING:
            selected, options = resolved.backends[stage]
            parts |= {"backend": selected.identity(), "options": options}
        return parts


def _judging(generator: Selected) -> dict[str, Any]:
    """A generator's identity without the options that only its aggregation uses."""
    identity = generator.identity()
    used = getattr(generator.owned.load(), "judge_options", None)
    if used is not None:
        identity["options"] = {name: value for name, value in generator.options.items() if name in used}
    return identity


def run_config(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    watcher: Watcher | None = None,
    start: str | None = None,
    until: str | None = None,
    file_plugins: bool = True,
) -> dict[str, Any]:
    """`salmon run` from Python.

    Returns:
        the report.

    Raises:
        ConfigError: everything wrong with the configuration.
        SalmonError: the run failed.
    """
    return Pipeline(load(path, overrides, file_plugins=file_plugins), watcher=watcher).run(start=start, until=until)


def run_document(
    document: Mapping[str, Any], *, base: Path | None = None, watcher: Watcher | None = None
) -> dict[str, Any]:
    """A run from a configuration given as a dictionary; paths are relative to `base`, or the working directory."""
    return Pipeline(from_document(document, base or Path.cwd()), watcher=watcher).run()
