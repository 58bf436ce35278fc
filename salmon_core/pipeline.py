"""A run: its stages in order, each only if what it is made from has changed (arXiv 2310.05910, section 3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from salmon_core.api.events import (
    Event,
    Note,
    RunFinished,
    RunStarted,
    StageFailed,
    StageFinished,
    StageStarted,
)
from salmon_core.api.training import LaunchPlan
from salmon_core.config.resolve import load
from salmon_core.config.run_config import RunConfig
from salmon_core.data.interventions import RECORD, STAGE, Intervention, read_record, write_record
from salmon_core.data.json import read_json
from salmon_core.errors import ConfigError, Problem, SalmonError
from salmon_core.run.events import EventStream
from salmon_core.run.folder import StageFolder
from salmon_core.run.monitoring import Watch
from salmon_core.run.processes import Lock
from salmon_core.run.run import Run
from salmon_core.run.steering import check_replay
from salmon_core.run.watch import inherited
from salmon_core.run.workers import Workers
from salmon_core.stages import stage
from salmon_core.stages.base import Process, Stage
from salmon_core.stages.sources import Sources
from salmon_core.stages.training import TrainingStage

#: keys of the configuration that problems of a stage's plan are about
SECTIONS = {
    "sft": "sft",
    "pretrain-rm": "reward_model.pretrain",
    "train-rm": "reward_model",
    "train-policy": "train",
}


class Pipeline:
    """One run of one configuration.

    Args:
        folder: the run's folder; by default `run.folder/run.name` under the working directory.
        subscribers: told of every event.
    """

    def __init__(
        self, config: RunConfig, *, folder: Path | None = None, subscribers: Sequence[Callable[[Event], None]] = ()
    ):
        section = config.config.run
        self.run_of = Run(folder or Path(section.folder) / section.name, config)
        self.sources = Sources(self.run_of)
        self.stages = self.sources.stages
        self._events = EventStream(self.folder, config.registry, tuple(subscribers))
        self._watch = Watch(config, self.folder, self._events.emit)
        if config.monitors:
            self._events.subscribe(self._watch)

    @property
    def folder(self) -> Path:
        """The run's."""
        return self.run_of.path

    def run(
        self,
        *,
        start: str | None = None,
        until: str | None = None,
        verify: bool = False,
        replay: Sequence[Intervention] | None = None,
    ) -> dict[str, Any]:
        """Runs what is not finished yet; what is finished is looked over first.

        Args:
            start: do this stage and all after it anew, finished or not.
            until: stop after this stage.
            verify: compare the content of large files of finished stages as well.
            replay: interventions to follow when the policy is trained, of another run's record; a training that
                followed others is done anew.

        Returns:
            the report, or {} if it was not reached.

        Raises:
            SalmonError: a stage failed; what it finished is kept.
        """
        for name in (start, until):
            if name is not None and name not in self.stages:
                raise SalmonError(f"this run has no stage {name!r}", hint=f"its stages: {', '.join(self.stages)}")
        self.plans()  # impossible options show before anything runs
        if replay is not None:
            check_replay(self.run_of, replay)
        self.folder.mkdir(parents=True, exist_ok=True)
        report, failure = None, None
        timeout = self.run_of.config.config.run.call_timeout
        with Lock(self.folder) as lock, inherited(timeout), Workers(lock, self.folder) as workers:
            self.run_of.save()
            document = self.run_of.config.config.model_dump(mode="json")
            self._events.emit(RunStarted, config=document, stages=self.stages)
            try:
                anew = False
                for name in self.stages:
                    anew = anew or name == start
                    anew = self._record(name, replay, anew=anew) or anew
                    goes_on = name != until and self._goes_on(name)
                    self._stage(name, lock, workers, goes_on, anew=anew, verify=verify)
                    if name == until:
                        break
                else:
                    report = read_json(self.folder / "report.json")
            except BaseException as error:
                failure = str(error) or type(error).__name__
                raise
            finally:
                self._events.emit(RunFinished, report=report, error=failure)
        return report or {}

    def plans(self) -> dict[str, LaunchPlan]:
        """What each training stage's backend would run.

        Raises:
            ConfigError: everything that cannot work.
        """
        plans, problems = {}, []
        for name in self.stages:
            own = stage(name)
            if not isinstance(own, TrainingStage):
                continue
            folder = self.run_of.stage(name).path
            try:
                plans[name] = own.plan(own.inputs(self.sources), folder, self.run_of.config.registry)
            except ConfigError as error:
                source, key = self.run_of.config.source, SECTIONS[name]
                problems += [Problem(f"{key}: {p.place}", p.message, p.hint, source) for p in error.problems]
        if problems:
            raise ConfigError(problems)
        return plans

    def _goes_on(self, name: str) -> bool:
        """Whether another stage with work of its own comes after; `Workers` gives each model a process of its own."""
        return any(stage(each).keeps for each in self.stages[self.stages.index(name) + 1 :])

    def _stage(self, name: str, lock: Lock, workers: Workers, goes_on: bool, *, anew: bool, verify: bool) -> None:
        own, folder = stage(name), self.run_of.stage(name)
        resumed = own.keeps and self._begin(own, folder, anew=anew, verify=verify)
        if resumed is None:
            self._events.emit(StageFinished, stage=name, skipped=True, manifest=folder.manifest)
            return
        self._events.emit(StageStarted, stage=name, resumed=resumed)
        started = time.monotonic()
        workers.begin(own.holds(own.inputs(self.sources)))
        process = Process(self.run_of, folder, lock, self._events.emit, workers, goes_on, self._watch.tick)
        manifest: Mapping[str, Any] = {}
        try:
            metrics = own.execute(own.inputs(self.sources), process)
            seconds = time.monotonic() - started
            manifest = {"stage": name, "seconds": seconds}
            if own.keeps:
                manifest = folder.finish(seconds, metrics, own.outputs, own.records)
        except BaseException as error:
            if own.keeps:
                folder.interrupted(time.monotonic() - started)
            self._events.emit(StageFailed, stage=name, error=str(error) or type(error).__name__)
            raise
        self._events.emit(StageFinished, stage=name, manifest=manifest)

    def _record(self, name: str, replay: Sequence[Intervention] | None, *, anew: bool) -> bool:
        """Leaves the record that a training of the policy follows; that of an older one goes with its result.

        Returns:
            whether it followed another one, and so has to be done anew.
        """
        if name != STAGE:
            return False
        folder, record = self.run_of.stage(name), self.run_of.record
        wanted = None if replay is None else [each.effect for each in replay]
        found = [each.effect for each in read_record(record)]
        other = wanted is not None and found[: len(wanted)] != wanted
        begins = anew or other or folder.otherwise(self.sources.made_from(name)) is not None
        if begins and folder.path.exists() and record.exists():
            record.replace(folder.path / RECORD)
        if begins and replay:
            write_record(record, replay)
        return other

    def _begin(self, own: Stage[Any], folder: StageFolder, *, anew: bool, verify: bool) -> bool | None:
        """Makes a stage's folder ready: whether something of it is there to go on from; None if it is finished."""
        made_from = self.sources.made_from(own.name)
        why = "it is made anew, as asked" if anew else folder.otherwise(made_from)
        if why is not None:
            seeds = {"run": self.run_of.config.config.run.seed}
            if (archived := folder.begin(made_from, seeds)) is not None:
                self._note(f"{own.name}: {why}; the old result is in {archived}")
            return False
        finished = folder.finished(made_from)
        faults = folder.faults(whole=verify or not finished)
        for file, fault in faults.items():
            unit = own.unit(file)
            self._note(f"{own.name}: {folder.path / file} {fault}; {unit} is made again, the rest is kept")
        if faults:
            aside = folder.set_aside(own.unit(file) for file in faults)
            if aside is not None:
                self._note(f"{own.name}: what is damaged was moved to {aside}")
            return True
        if finished:
            for file, fault in folder.lost_records().items():
                text = f"{own.name}: {folder.path / file} {fault}; no later stage reads it"
                self._note(f"{text}, and only `salmon run --from {own.name}` would make one again")
            return None
        return True

    def _note(self, text: str) -> None:
        self._events.emit(Note, text=text)


def run_config(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    subscribers: Sequence[Callable[[Event], None]] = (),
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
    config = load(path, overrides, file_plugins=file_plugins)
    return Pipeline(config, subscribers=subscribers).run(start=start, until=until)
