"""Monitors at work: they get the rollouts of a run batch by batch, and what they find goes on record.

They run in the process of `salmon run`, not in the trainer's. A run that goes on gives them all its batches again, from
the files, and tells only of what is not on record yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.evaluation import Oracle
from salmon_core.api.events import (
    AlarmRaised,
    Event,
    Note,
    RolloutsLogged,
    StageFailed,
    StageFinished,
    StageStarted,
    StepLogged,
)
from salmon_core.api.monitors import Alarm, Monitor, RolloutBatch, SeenRollout
from salmon_core.config.run_config import RunConfig
from salmon_core.data.parquet import read_table
from salmon_core.data.rollouts import ROLLOUTS, rollout_files
from salmon_core.errors import SalmonError, StageError, boundary
from salmon_core.plugins.oracles import find_oracle
from salmon_core.records import ShownPrinciple
from salmon_core.run.answering import Answering
from salmon_core.run.events import told

STAGE = "train-policy"
Emit = Callable[..., None]


@dataclass(frozen=True)
class _Watched:
    """A run as monitors see it."""

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
    _seen: int = -1
    _known: dict[tuple[str, str], int] = field(default_factory=dict)
    _answering: Answering | None = None
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
            if self._answering is not None:
                self._answering.finish(self._kl)
        elif isinstance(event, StageFailed) and self._answering is not None:
            self._answering.drop()

    def tick(self) -> None:
        """Looks whether an alarm's answer is there, and begins the next."""
        if self._answering is not None:
            self._answering.tend(self._kl)

    def _begin(self, *, resumed: bool) -> None:
        registry = self.config.registry
        self._working = [_Working(spec, registry.build(spec)) for spec in self.config.monitors]
        self._rows, self._numbers, self._seen = {}, {}, -1
        events = told(self.folder, STAGE) if resumed else []
        logged = [each["values"] for each in events if each["event"] == "StepLogged" and "kl" in each["values"]]
        self._kl = logged[-1]["kl"] if logged else None
        names = [(each["monitor"], each["about"]) for each in events if each["event"] == "AlarmRaised"]
        self._known = {name: number for number, name in enumerate(names, 1)}
        section = self.config.config.monitors
        assert section is not None
        if section.on_alarm in ("propose", "apply"):
            answered = {each["alarm"] for each in events if each["event"] == "Proposed"}
            self._answering = Answering(section, self.folder, self.emit)
            for name, number in self._known.items():
                if number not in answered:  # killed before its answer
                    self._answering.ask(number, *name)
        # What a trainer goes on from, and generates again, it generates equal: those files count as they are.
        for file in rollout_files(self.folder / STAGE) if resumed else ():
            self._look(self._next(int(file.stem.split("-")[1]), file))

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
            yield RolloutBatch(
                index, tuple(seen_rollout(row, place) for place, row in enumerate(rows)), dict(self._numbers)
            )

    def _look(self, batches: Iterable[RolloutBatch]) -> None:
        watched = _Watched(self.config)
        for batch in batches:
            for each in self._working:
                if each.broken:
                    continue
                owner = each.spec.owner
                try:
                    with boundary(str(owner), f"monitor {each.spec.name!r}"):
                        alarms = list(each.monitor.see(batch, watched))
                except SalmonError as error:  # what watches a run must not end it
                    each.broken = True
                    self.emit(Note, text=f"{error}; it watches no more")
                    continue
                for alarm in alarms:
                    self._raise(each.spec.name, alarm)

    def _raise(self, monitor: str, alarm: Alarm) -> None:
        if (monitor, alarm.about) in self._known:
            return
        self._known[monitor, alarm.about] = len(self._known) + 1
        self.emit(
            AlarmRaised,
            stage=STAGE,
            monitor=monitor,
            about=alarm.about,
            text=alarm.text,
            rollout_index=alarm.since,
            p=alarm.p,
            examples=alarm.examples[:3],
            flagged=alarm.flagged,
            forbid=alarm.forbid,
            bonus=alarm.bonus,
            phrases=alarm.phrases,
        )
        if self._answering is not None:
            self._answering.ask(self._known[monitor, alarm.about], monitor, alarm.about)
        elif self.config.config.monitors is not None and self.config.config.monitors.on_alarm == "stop":
            hint = "`monitors.on_alarm: note` goes on; the policy so far is kept"
            raise StageError(f"{monitor}: {alarm.text}", where=STAGE, hint=hint)


def seen_rollout(row: Mapping[str, Any], place: int) -> SeenRollout:
    """Of a row of a rollouts file, and its place in the batch."""
    return SeenRollout(
        rollout_index=row["rollout_index"],
        row=row["row"],
        prompt_id=row["prompt_id"],
        prompt=row["prompt"],
        category=row["category"] or "",
        completion=row["completion"],
        n_tokens=row["n_tokens"],
        stopped=row["stopped"],
        reward=row["reward"],
        components=dict(row["components"]),
        by_principle=dict(row["by_principle"]),
        principles=tuple(ShownPrinciple(**each) for each in row["principles"]),
        place=place,
        interventions=tuple(row["interventions"] or ()),
    )


def alarms_of(run: Path) -> list[dict[str, Any]]:
    """Those on record of the stage as it is there now, in order, each with what was proposed."""
    keys = (
        "monitor",
        "about",
        "text",
        "rollout_index",
        "p",
        "examples",
        "flagged",
        "forbid",
        "bonus",
        "phrases",
        "time",
    )
    events = told(run, STAGE)
    found = [{key: each.get(key) for key in keys} for each in events if each["event"] == "AlarmRaised"]
    for each in events:
        if each["event"] == "Proposed":
            answer = {key: each[key] for key in ("text", "proposals", "applied")}
            found[each["alarm"] - 1] |= {"proposed": answer}
    return found
