"""What a stage is.

A stage names its inputs as one frozen dataclass, made by `inputs`; its work gets that dataclass, its own folder, and
nothing else of the run. Its fingerprint is the identity of those inputs, so it cannot forget one.
"""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import salmon_core
from salmon_core.api.component import ComponentSpec
from salmon_core.api.events import Note, Progress
from salmon_core.api.memory import Use
from salmon_core.api.models import ModelSpec
from salmon_core.calls import alive, heard
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.data.files import write_text
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import StageError
from salmon_core.plugins.registry import Registry
from salmon_core.run.folder import MadeFrom, StageFolder
from salmon_core.run.identity import fingerprint, identity
from salmon_core.run.notes import Notes, note
from salmon_core.run.outputs import Outputs
from salmon_core.run.processes import Lock
from salmon_core.run.run import Run
from salmon_core.run.workers import Workers
from salmon_core.stages import STAGES, stage

T = TypeVar("T")
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

    def made_from(self, name: str) -> MadeFrom:
        """What a stage's result follows from; the stages that it reads have to be finished."""
        read = {output.name: output.folder.content for output in _read(stage(name).inputs(self))}
        return MadeFrom(self.fingerprint(name), self.identity(name), read)

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

    def reward_start(self) -> ModelInput:
        """What the reward model starts from on rows with principles: what it was pre-trained to, where it was."""
        found = self.named("reward-init")
        if not self.config.pretrains_reward_model:
            return found
        return self._model(self.run.pretrained_reward_model(found.spec), "pretrain-rm")

    def named(self, role: str) -> ModelInput:
        """A model that the configuration names for a role, else the initial policy."""
        if role not in self.config.models:
            return self.initial()
        return ModelInput(self.config.models[role], None, self.config.registry)

    def _model(self, spec: ModelSpec, *stages: str) -> ModelInput:
        made = next((name for name in stages if spec.path == str(self.output(name).path / "model")), None)
        return ModelInput(spec, None if made is None else self.output(made), self.config.registry)


def _read(value: Any) -> Iterator[StageOutput]:
    """What an input reads of earlier stages."""
    if isinstance(value, StageOutput):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _read(getattr(value, each.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _read(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _read(item)


class Told:
    """How far a stage's work is, in a file that `salmon run` reads.

    Args:
        what: it goes through.
        total: of these.
    """

    def __init__(self, path: Path, what: str, total: int):
        self._path, self._what, self._total = path, what, total
        self._done, self._most, self._last = 0, 0, 0.0

    def __call__(self, done: int) -> None:
        """So many are done."""
        alive()
        self._done = done
        self._tell(done)

    @contextmanager
    def upto(self, done: int) -> Iterator[None]:
        """In the block, as many are worked on at once as there are left up to `done`; then they are done."""
        begun = self._done
        with heard(lambda share: self._tell(begun + int(share * (done - begun)))):
            yield
        self(done)

    def _tell(self, done: int) -> None:
        now, done = time.monotonic(), max(done, self._most)  # an engine may go through a few of them twice
        self._most = done
        if now - self._last > 0.2 or done >= self._total:
            self._last = now
            write_json(self._path, {"done": done, "total": self._total, "what": self._what})


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

    def progress(self, what: str, total: int) -> Told:
        """Tells `salmon run` how far the work is, a few times a second."""
        return Told(self.path / _PROGRESS, what, total)

    def parts(self, total: int, size: int) -> dict[int, str]:
        """Shards still to be made, by the index of their first item. What was not written to its end is made again."""
        done = Outputs(self.path)
        parts = {start: f"part-{start // size:05d}.parquet" for start in range(0, total, size)}
        return {start: part for start, part in parts.items() if not done.has(self.path / part)}

    def shards(self, items: Iterable[T], total: int, size: int) -> Iterator[tuple[str, int, list[T]]]:
        """The same with the items of each: (file, index of its first item, items)."""
        parts, left = self.parts(total, size), iter(items)
        for start in range(0, total, size):
            own = list(islice(left, size))
            if start in parts:
                yield parts[start], start, own

    def has(self, name: str) -> bool:
        """Whether a file of the stage was written to its end."""
        return Outputs(self.path).has(self.path / name)

    def write_rows(self, name: str, rows: Iterable[Any], schema: Any) -> int:
        """A Parquet file of the stage, whole or not at all; the number of its rows."""
        count = parquet.write_rows(self.path / name, rows, schema)
        Outputs(self.path).add(self.path / name)
        return count

    def write_text(self, name: str, text: str) -> None:
        """Another file of the stage, whole or not at all."""
        write_text(self.path / name, text)
        Outputs(self.path).add(self.path / name)

    def note(self, text: str) -> None:
        """Tells whoever watches the run what a person should know."""
        note(self.path, text)


@dataclass(frozen=True)
class Asked:
    """A model and the engine that opens it."""

    engine: ComponentSpec
    model: ModelSpec


@dataclass(frozen=True)
class Process:
    """What a stage needs of the process that runs it.

    Attributes:
        emit: tells of an event.
        goes_on: whether the process that does the stage's own work goes on with the next stage.
    """

    run: Run
    folder: StageFolder
    lock: Lock
    emit: Callable[..., None]
    workers: Workers
    goes_on: bool = False

    def worker(self, name: str) -> None:
        """Does the stage's own work in a process of its own, and shows its progress.

        Raises:
            StageError: it failed, or ended without having done its work.
        """
        shown: Any = None
        notes = Notes(self.folder.path)
        Outputs(self.folder.path).begin()

        def watch() -> None:
            nonlocal shown
            now = read_json(self.folder.path / _PROGRESS)
            if now and now != shown:
                shown = now
                self.emit(Progress, stage=name, **now)
            for text in notes.new():
                self.emit(Note, text=f"{name}: {text}")

        self.workers.work(
            name,
            worker_argv(name, self.run.path),
            env=ENVIRONMENT,
            cwd=self.folder.path,
            watch=watch,
            goes_on=self.goes_on,
        )
        if not Outputs(self.folder.path).complete:
            raise StageError(
                "its process ended with exit code 0 before the work was done",
                where=name,
                hint=f"something in it ended the process, a plugin perhaps; see {self.folder.path / 'log.txt'}",
            )


def worker_argv(name: str, run: Path) -> list[str]:
    """The command that does a stage's own work."""
    return [sys.executable, "-m", "salmon_core.worker", name, str(run)]


@dataclass(frozen=True)
class Opens:
    """A model that a stage's own work opens, by an engine, and what it asks of it."""

    engine: ComponentSpec
    model: ModelSpec
    use: Use


class Stage(ABC, Generic[I]):
    """A part of a run with a folder of its own.

    Attributes:
        name: of the stage and its folder.
        outputs: patterns of the files that it leaves; of each there is one at least.
        records: of those that no later stage reads, and that only the whole stage could make again.
        keeps: whether it has a folder, and is skipped when it is finished.
    """

    name: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    records: ClassVar[tuple[str, ...]] = ()
    keeps: ClassVar[bool] = True

    def worked(self, inputs: I) -> tuple[str, ...]:
        """Those of the outputs that its own work leaves."""
        return self.outputs

    def unit(self, name: str) -> str:
        """What has to be made again where this file of its outputs is lost: the file, or a folder above it."""
        return name

    def active(self, config: RunConfig) -> bool:
        """Whether this configuration needs the stage."""
        return True

    def holds(self, inputs: I) -> Asked | None:
        """The model that its own work asks; a stage that asks another one has a process of its own."""
        return None

    def opens(self, inputs: I, registry: Registry) -> tuple[Opens, ...]:
        """Models that its own work opens, one after the other, for `salmon plan`."""
        return ()

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
