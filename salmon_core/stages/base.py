"""What a stage is.

A stage names its inputs as one frozen dataclass, made by `inputs`; its work gets that dataclass, its own folder, and
nothing else of the run. Its fingerprint is the identity of those inputs, so it cannot forget one.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from salmon_core.api.component import ComponentSpec
from salmon_core.api.events import Note, Progress
from salmon_core.api.memory import Use
from salmon_core.api.models import ModelSpec
from salmon_core.config.run_config import RunConfig
from salmon_core.data.json import read_json
from salmon_core.errors import StageError
from salmon_core.plugins.registry import Registry
from salmon_core.run.folder import StageFolder
from salmon_core.run.notes import Notes
from salmon_core.run.outputs import Outputs
from salmon_core.run.processes import ENVIRONMENT, Lock
from salmon_core.run.run import Run
from salmon_core.run.workers import Workers
from salmon_core.stages.sources import Sources
from salmon_core.stages.work import METRICS, PROGRESS, Work

I = TypeVar("I")  # noqa: E741  (the inputs of a stage)


@dataclass(frozen=True)
class Process:
    """What a stage needs of the process that runs it.

    Attributes:
        emit: tells of an event.
        goes_on: whether the process that does the stage's own work goes on with the next stage.
        tick: called several times a second while a trainer runs, for those who wait for something beside it.
    """

    run: Run
    folder: StageFolder
    lock: Lock
    emit: Callable[..., None]
    workers: Workers
    goes_on: bool = False
    tick: Callable[[], None] = lambda: None

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
            now = read_json(self.folder.path / PROGRESS)
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


#: an engine, and the model that it opens
Held = tuple[ComponentSpec, ModelSpec]


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

    def holds(self, inputs: I) -> Held | None:
        """The one model that its own work asks, so that the next stage may go on with it in the same process.

        Told without constructing a component: the process of `salmon run` asks it, before the stage begins.
        """
        return None

    def opens(self, inputs: I, registry: Registry) -> tuple[Opens, ...]:
        """Models that its own work opens, one after the other, and what for: for `salmon plan`."""
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


def mean(values: Iterable[float]) -> float:
    """0 for none."""
    found = list(values)
    return sum(found) / max(1, len(found))
