"""Monitors at work: they get the rollouts of a run batch by batch, and what they find goes on record.

They run in the process of `salmon run`, not in the trainer's; those that use models have them asked in another one. A
run that goes on gives them all its batches again, from the files, and tells only of what is not on record yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.evaluation import Oracle
from salmon_core.api.events import (
    Event,
    Note,
    RolloutsLogged,
    StageFailed,
    StageFinished,
    StageStarted,
    StepLogged,
)
from salmon_core.api.monitors import Alarm, ModelMonitor, Monitor, RolloutBatch
from salmon_core.config.run_config import RunConfig
from salmon_core.data.parquet import read_table
from salmon_core.data.rollouts import ROLLOUTS, rollout_files
from salmon_core.errors import SalmonError, StageError, boundary
from salmon_core.plugins.oracles import find_oracle
from salmon_core.records import ShownPrinciple
from salmon_core.run.alarms import Alarms
from salmon_core.run.alarms import seen_rollout as seen_rollout
from salmon_core.run.answering import Answering
from salmon_core.run.beside import Beside
from salmon_core.run.events import told
from salmon_core.run.measured import Measuring

STAGE = "train-policy"
Emit = Callable[..., None]


@dataclass(frozen=True)
class Watched:
    """A run as monitors see it; see `salmon_core.api.monitors.WatchedRun`."""

    config: RunConfig

    @property
    def rewarded(self) -> tuple[ShownPrinciple, ...]:
        return tuple(map(self.config.shown, self.config.reward_principles))

    @property
    def bonuses(self) -> tuple[str, ...]:
        return tuple(bonus.label for bonus in self.config.bonuses)

    def oracle(self, name: str) -> Oracle:
        return find_oracle(self.config.registry, name)


@dataclass
class _Working:
    spec: ComponentSpec
    monitor: Monitor
    place: int
    broken: bool = False


@dataclass
class Watch:
    """Feeds the monitors of a run; a subscriber of its events.

    Args:
        config: of the run.
        folder: of the run.
        emit: tells of an event by its class and fields.
    """

    config: RunConfig
    folder: Path
    emit: Emit
    _working: list[_Working] = field(default_factory=list)
    _rows: dict[int, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    _numbers: dict[str, float] = field(default_factory=dict)
    _numbers_at: dict[int, dict[str, float]] = field(default_factory=dict)
    _seen: int = -1
    _alarms: Alarms | None = None
    _beside: Beside = field(default_factory=Beside)
    _answering: Answering | None = None
    _measuring: Measuring | None = None
    _kl: float | None = None

    def __call__(self, event: Event) -> None:
        """Looks at what happened.

        Raises:
            StageError: an alarm, where `monitors.on_alarm` is `stop`.
        """
        if not self.config.monitors or getattr(event, "stage", None) != STAGE:
            return
        if isinstance(event, StageStarted):
            self._begin(resumed=event.resumed)
        elif isinstance(event, StepLogged):
            self._numbers |= event.values
            self._kl = event.values.get("kl", self._kl)
        elif isinstance(event, RolloutsLogged):
            self._look(self._next(event.rollout_index, Path(event.file)))
        elif isinstance(event, StageFinished) and not event.skipped:
            self._look(self._batches(until=None))
            self._finish()
        elif isinstance(event, StageFailed):
            self._beside.drop()

    def tick(self) -> None:
        """Looks whether what was asked for beside the trainer is there, and begins the next.

        Raises:
            StageError: an alarm, where `monitors.on_alarm` is `stop`.
        """
        if self._answering is not None:
            self._answering.tend(self._kl)
        if self._measuring is not None:
            # Measuring goes on all the time: an alarm's answer would never have its turn.
            self._measuring.tend(begins=self._answering is None or not self._answering.waits)

    def _begin(self, *, resumed: bool) -> None:
        registry, section = self.config.registry, self.config.config.monitors
        assert section is not None
        self._working = [
            _Working(spec, registry.build(spec), place) for place, spec in enumerate(self.config.monitors, 1)
        ]
        self._rows, self._numbers, self._seen = {}, {}, -1
        events = told(self.folder, STAGE) if resumed else []
        logged = [each["values"] for each in events if each["event"] == "StepLogged" and "kl" in each["values"]]
        self._kl = logged[-1]["kl"] if logged else None
        self._alarms = Alarms(section.again, self.folder, self.emit, self._told)
        self._alarms.recorded(events)
        self._measuring = Measuring(self.folder, self._beside, section.device)
        if section.on_alarm in ("propose", "apply"):
            answered = {each["alarm"] for each in events if each["event"] == "Proposed"}
            self._answering = Answering(section, self.folder, self.emit, self._beside)
            for number, name in sorted(self._alarms.tellings.items()):
                if number not in answered:  # killed before its answer
                    self._answering.ask(number, *name)
        self._numbers_at, self._numbers = _numbers(events)
        # What a trainer goes on from, and generates again, it generates equal: those files count as they are.
        for file in rollout_files(self.folder / STAGE) if resumed else ():
            self._look(self._next(int(file.stem.split("-")[1]), file))

    def _finish(self) -> None:
        """All that was asked for is answered, and what follows from it."""
        waits = [
            what
            for what, each in (("answers to its alarms", self._answering), ("measurements beside it", self._measuring))
            if each is not None and each.waits
        ]
        if waits:
            self.emit(Note, text=f"the policy is trained; waits for {' and '.join(waits)}")
        while any(each is not None and each.waits for each in (self._answering, self._measuring)):
            self.tick()
            time.sleep(0.05)
        if self._alarms is not None:
            self._alarms.end({each.spec.name: (str(each.spec.owner), each.monitor) for each in self._working})

    def _next(self, index: int, file: Path) -> Iterable[RolloutBatch]:
        """Batches that are whole once this file is there: several processes write one batch, each a file."""
        if index > self._seen:
            # A file is written again as its batch grows, whole each time.
            self._rows.setdefault(index, {})[file.name] = read_table(file, ROLLOUTS)
        yield from self._batches(until=index)

    def _batches(self, until: int | None) -> Iterable[RolloutBatch]:
        for index in sorted(each for each in self._rows if until is None or each < until):
            files = self._rows.pop(index)
            self._seen = index
            rows = [row for name in sorted(files) for row in files[name]]
            numbers = self._numbers_at.pop(index, None) or dict(self._numbers)
            yield RolloutBatch(index, tuple(seen_rollout(row, place) for place, row in enumerate(rows)), numbers)

    def _look(self, batches: Iterable[RolloutBatch]) -> None:
        assert self._alarms is not None
        for batch in batches:
            self._alarms.batch(batch.rollout_index)
            for each in self._working:
                self._guarded(each, batch, lambda each=each, batch=batch: self._see(each, batch))  # type: ignore[misc]

    def _see(self, working: _Working, batch: RolloutBatch) -> Iterable[Alarm] | None:
        """What a monitor finds; None where it asks first."""
        watched = Watched(self.config)
        if not isinstance(working.monitor, ModelMonitor):
            return working.monitor.see(batch, watched)
        assert self._measuring is not None
        question = working.monitor.ask(batch, watched)
        if question is not None:
            hear = partial(self._hear, working)
            self._measuring.ask(
                working.spec, working.place, dict(question), batch, hear, wanted=lambda: not working.broken
            )
        return None

    def _hear(self, working: _Working, batch: RolloutBatch, answer: dict[str, Any] | SalmonError) -> None:
        def heard() -> Iterable[Alarm]:
            assert isinstance(working.monitor, ModelMonitor)
            if isinstance(answer, SalmonError):
                raise answer
            return working.monitor.hear(batch, answer, Watched(self.config))

        self._guarded(working, batch, heard)

    def _guarded(self, working: _Working, batch: RolloutBatch, ask: Callable[[], Iterable[Alarm] | None]) -> None:
        """What a monitor does; of one that failed nothing more is asked."""
        if working.broken:
            return
        owner = str(working.spec.owner)
        try:
            with boundary(owner, f"monitor {working.spec.name!r}"):
                found = ask()
                alarms: Sequence[Alarm] | None = None if found is None else list(found)
        except SalmonError as error:  # what watches a run must not end it
            working.broken = True
            self.emit(Note, text=f"{error}; it watches no more")
            return
        if alarms is not None:
            assert self._alarms is not None
            self._alarms.look(working.spec.name, owner, working.monitor, batch.rollout_index, alarms)

    def _told(self, number: int, monitor: str, about: str, text: str) -> None:
        """An alarm is on record."""
        if self._answering is not None:
            self._answering.ask(number, monitor, about)
        elif self.config.config.monitors is not None and self.config.config.monitors.on_alarm == "stop":
            hint = "`monitors.on_alarm: note` goes on; the policy so far is kept"
            raise StageError(f"{monitor}: {text}", where=STAGE, hint=hint)


def _numbers(events: Iterable[Mapping[str, Any]]) -> tuple[dict[int, dict[str, float]], dict[str, float]]:
    """What the trainer had logged when each batch was looked at before, and last."""
    at: dict[int, dict[str, float]] = {}
    numbers: dict[str, float] = {}
    waiting: set[int] = set()
    for each in events:
        if each["event"] == "StepLogged":
            numbers = numbers | each["values"]
        elif each["event"] == "RolloutsLogged":
            index = int(each["rollout_index"])
            for whole in [batch for batch in waiting if batch < index]:
                waiting.discard(whole)
                at.setdefault(whole, numbers)
            if index not in at:
                waiting.add(index)
    return at, numbers


def alarms_of(run: Path) -> list[dict[str, Any]]:
    """Those on record of the stage as it is there now, in order, each with what was proposed and what became of it."""
    keys = ("monitor", "about", "text", "rollout_index", "p", "examples", "flagged", "forbid", "bonus", "phrases")
    events = told(run, STAGE)
    found = [
        {key: each.get(key) for key in (*keys, "time")}
        | {"again": each.get("again") or 0, "tried": each.get("tried") or []}
        for each in events
        if each["event"] == "AlarmRaised"
    ]
    for each in events:
        if each["event"] == "Proposed":
            answer = {key: each.get(key) for key in ("text", "proposals", "applied", "undone")}
            found[each["alarm"] - 1] |= {"proposed": answer}
        elif each["event"] == "AlarmFollowed":
            followed = {key: each[key] for key in ("state", "rollout_index", "text", "tried")}
            found[each["alarm"] - 1] |= {"followed": followed}
    return found
