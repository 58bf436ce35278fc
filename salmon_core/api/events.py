"""What happens in a run, as one stream of typed events.

The console is its first subscriber; plugins get the same events through the hook `salmon_event`, and the run's
`events.jsonl` has each as a line: `{"event": CLASS, ...its fields}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        run: the run's folder.
        time: seconds since the epoch.
    """

    run: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run starts, or goes on.

    Attributes:
        config: the configuration, with its defaults.
        stages: those that it has, in order.
    """

    config: Mapping[str, Any]
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    """A stage starts; `resumed`: from what it left when it was interrupted."""

    stage: str
    resumed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """How far a stage is: `done` of `total` things called `what`."""

    stage: str
    done: int
    total: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLogged(Event):
    """A training step's numbers: finite floats by name; `total`: steps in all, where that is known."""

    stage: str
    step: int
    values: Mapping[str, float]
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutsLogged(Event):
    """Rollouts of one generated batch were written, with their rewards.

    Attributes:
        file: Parquet; columns as `salmon_core.data.rollouts.ROLLOUTS`.
        count: rows in it.
    """

    stage: str
    rollout_index: int
    file: str
    count: int

    def rows(self) -> list[dict[str, Any]]:
        """The file's rows."""
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(Path(self.file), memory_map=False).to_pylist()
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervened(Event):
    """A person, or a plugin, steers the run: a line of its `interventions.jsonl`.

    Attributes:
        id: of the intervention.
        rollout_index: the first generated batch that it counts for.
        text: what it does, in words.
    """

    stage: str
    id: int
    rollout_index: int
    text: str
    who: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(Event):
    """A monitor found something; see `salmon_core.api.monitors.Alarm`.

    Attributes:
        monitor: its name; with `about` it names the alarm.
        rollout_index: of the batch that it is told at.
        again: how often it was told before.
        tried: interventions since it was first told, each with its measured effect: `id`, `from_rollout`, `words`,
            `who`, and of what the monitor measures `before`, `after`, `low` and `high` (the 95 % interval of the
            change) and `n` (prompts); these five are None where it measures nothing.
    """

    stage: str
    monitor: str
    about: str
    text: str
    rollout_index: int
    p: float
    examples: tuple[str, ...] = ()
    flagged: tuple[tuple[int, int], ...] = ()
    forbid: str = ""
    bonus: str = ""
    phrases: tuple[str, ...] = ()
    again: int = 0
    tried: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFollowed(Event):
    """What has become of an alarm that was told.

    Attributes:
        alarm: number of the telling, from 1.
        state: `cured`: it is not found any more, and what the monitor measures has surely fallen; `gone`: it is not
            found any more; `open`: the training is over, and it is neither.
        rollout_index: the batch since which it is so; of `open` the last one.
        tried: see `AlarmRaised`.
    """

    stage: str
    monitor: str
    about: str
    alarm: int
    state: str
    rollout_index: int
    text: str
    tried: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed(Event):
    """What would forbid what an alarm is about was tried on the reward model.

    Attributes:
        alarm: its number in the run, from 1.
        proposals: the best first: `what` (`principle`, or `bonus`: one that is switched off), `name`, `text`,
            `negated`, `source` (the set; empty for a draft), `flagged`, `others` and `apart` (estimates of how the
            reward changes, or None), `works`, `refused`.
        applied: the intervention that the best was put on record as; None where it was not.
        undone: interventions that were taken back for it, since they did not lower what the alarm is about.
        text: in words, what was found, and why nothing was applied.
    """

    stage: str
    monitor: str
    about: str
    alarm: int
    text: str
    proposals: tuple[Mapping[str, Any], ...] = ()
    applied: int | None = None
    undone: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Event):
    """Something a person should know."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished(Event):
    """A stage is done.

    Attributes:
        skipped: it was already.
        manifest: of its folder.
    """

    stage: str
    skipped: bool = False
    manifest: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFailed(Event):
    """A stage ended without its result; what it finished is kept."""

    stage: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The run ended: with its report, without one (stopped early), or with an error."""

    report: Mapping[str, Any] | None = None
    error: str | None = None
