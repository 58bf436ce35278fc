"""What a stage is.

A stage names its inputs as one frozen dataclass, made by `inputs`; its work gets that dataclass, its own folder, and
nothing else of the run. Its fingerprint is the identity of those inputs, so it cannot forget one.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import salmon_core
from salmon_core.api.events import Progress
from salmon_core.api.models import ModelSpec
from salmon_core.config.run_config import RunConfig
from salmon_core.data.json import read_json, write_json
from salmon_core.plugins.registry import Registry
from salmon_core.run.folder import StageFolder
from salmon_core.run.identity import fingerprint, identity
from salmon_core.run.processes import Lock, run_step
from salmon_core.run.run import Run
from salmon_core.stages import STAGES, stage

I = TypeVar("I")  # noqa: E741  (the inputs of a stage)
METRICS = "metrics.json"
_PROGRESS = "progress.json"
#: of every process of ours that may load a tokenizer
ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class StageOutput:
    """What an earlier stage made; its identity is that stage's fingerprint."""

    name: str
    sources: Sources

    @property
    def folder(self) -> StageFolder:
        """Where it is."""
        return StageFolder(self.sources.run.path, self.name)

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path

    def identity(self) -> str:
        """The fingerprint of the stage."""
        return self.sources.fingerprint(self.name)


@dataclass(frozen=True)
class ModelInput:
    """A model that a stage reads: one of the configuration, or what an earlier stage made."""

    spec: ModelSpec
    made_by: StageOutput | None
    registry: Registry

    def identity(self) -> Any:
        """Of a model made here the stage's fingerprint, else the model's content."""
        return self.made_by.identity() if self.made_by is not None else identity(self.spec, self.registry)


class Sources:
    """Where stages take their inputs from: a run's configuration, and the stages before them."""

    def __init__(self, run: Run):
        self.run = run
        self._fingerprints: dict[str, str] = {}

    @property
    def config(self) -> RunConfig:
        """Of the run."""
        return self.run.config

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that this configuration needs, in order."""
        return tuple(name for name in STAGES if stage(name).active(self.config))

    def output(self, name: str) -> StageOutput:
        """What an earlier stage makes."""
        return StageOutput(name, self)

    def identity(self, name: str) -> dict[str, Any]:
        """What a stage is made from; equal ones mean an equal result."""
        inputs = identity(stage(name).inputs(self), self.config.registry)
        return {"stage": name, "core": salmon_core.__version__, **inputs}

    def fingerprint(self, name: str) -> str:
        """The identity of a stage, in short."""
        if name not in self._fingerprints:
            self._fingerprints[name] = fingerprint(self.identity(name))
        return self._fingerprints[name]

    # -- models by role ----------------------------------------------------------------------------------------------

    def base(self) -> ModelInput:
        """The configured policy."""
        return ModelInput(self.config.models["policy"], None, self.config.registry)

    def initial(self) -> ModelInput:
        """The policy before RL."""
        return self._model(self.run.initial, "sft")

    def aligned(self) -> ModelInput:
        """The policy after RL."""
        return self._model(self.run.aligned, "train-policy", "sft")

    def reward_model(self) -> ModelInput | None:
        """The reward model, where the run has one."""
        spec = self.run.reward_model
        return None if spec is None else self._model(spec, "train-rm")

    def named(self, role: str) -> ModelInput:
        """A model that the configuration names for a role, else the initial policy."""
        if role not in self.config.models:
            return self.initial()
        return ModelInput(self.config.models[role], None, self.config.registry)

    def _model(self, spec: ModelSpec, *stages: str) -> ModelInput:
        made = next((name for name in stages if spec.path == str(self.output(name).path / "model")), None)
        return ModelInput(spec, None if made is None else self.output(made), self.config.registry)


@dataclass(frozen=True)
class Work:
    """Where a stage works.

    Attributes:
        folder: its own.
        cache: a folder that outlives changes of the configuration.
        registry: builds components.
    """

    folder: StageFolder
    cache: Path
    registry: Registry

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path

    def progress(self, what: str, total: int) -> Callable[[int], None]:
        """Tells `salmon run` how far the work is, a few times a second."""
        last = 0.0

        def tell(done: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last > 0.2 or done >= total:
                last = now
                write_json(self.path / _PROGRESS, {"done": done, "total": total, "what": what})

        return tell

    def parts(self, total: int, size: int) -> list[tuple[Path, int]]:
        """Shards still to be made: (file, index of its first item)."""
        parts = [(self.path / f"part-{start // size:05d}.parquet", start) for start in range(0, total, size)]
        return [(part, start) for part, start in parts if not part.exists()]


@dataclass(frozen=True)
class Process:
    """What a stage needs of the process that runs it.

    Attributes:
        emit: tells of an event.
    """

    run: Run
    folder: StageFolder
    lock: Lock
    emit: Callable[..., None]

    def worker(self, name: str) -> None:
        """Does the stage's own work in a process of its own, and shows its progress."""
        shown: Any = None

        def watch() -> None:
            nonlocal shown
            now = read_json(self.folder.path / _PROGRESS)
            if now and now != shown:
                shown = now
                self.emit(Progress, stage=name, **now)

        run_step(
            name, worker_argv(name, self.run.path), env=ENVIRONMENT, cwd=self.folder.path, lock=self.lock, watch=watch
        )


def worker_argv(name: str, run: Path) -> list[str]:
    """The command that does a stage's own work."""
    return [sys.executable, "-m", "salmon_core.worker", name, str(run)]


class Stage(ABC, Generic[I]):
    """A part of a run with a folder of its own.

    Attributes:
        name: of the stage and its folder.
        outputs: patterns of the files that it leaves.
        keeps: whether it has a folder, and is skipped when it is finished.
    """

    name: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    keeps: ClassVar[bool] = True

    def active(self, config: RunConfig) -> bool:
        """Whether this configuration needs the stage."""
        return True

    @abstractmethod
    def inputs(self, sources: Sources) -> I:
        """All that its work reads, as a frozen dataclass; touches no file of earlier stages."""

    @abstractmethod
    def work(self, inputs: I, work: Work) -> None:
        """Does the work, in a process of its own.

        Finished shards are kept, so an interrupted stage continues where it was. Numbers to show go to `metrics.json`.
        """

    def execute(self, inputs: I, process: Process) -> Mapping[str, Any]:
        """Runs the stage to its end from the `salmon run` process.

        Returns:
            its numbers.
        """
        process.worker(self.name)
        metrics: dict[str, Any] = read_json(process.folder.path / METRICS) or {}
        return metrics


def write_metrics(work: Work, values: Mapping[str, Any]) -> None:
    """A stage's numbers, for its manifest and the console."""
    write_json(work.path / METRICS, dict(values))


def mean(values: Iterable[float]) -> float:
    """0 for none."""
    found = list(values)
    return sum(found) / max(1, len(found))
