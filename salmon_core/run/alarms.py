"""What becomes of alarms: told once, told again where an answer did not help, and over where nothing is found any more.

All of it follows from the batches and from the run's record, of which only what counts for a batch is looked at with
that batch. So a run that goes on, or follows the record of another, decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from salmon_core.api.events import AlarmFollowed, AlarmRaised
from salmon_core.api.monitors import Alarm, Monitor, SeenRollout
from salmon_core.config.monitoring import Again
from salmon_core.data.clustered import clustered
from salmon_core.data.interventions import RECORD, STAGE, Intervention, read_record
from salmon_core.data.parquet import read_table
from salmon_core.data.rollouts import ROLLOUTS, rollout_files
from salmon_core.errors import SalmonError, boundary
from salmon_core.records import ShownPrinciple

#: batches at each side of an intervention that its effect is measured by
SPAN = 2
#: batches after an intervention's first within which an alarm may be its doing
FOLLOWS = 10
_Z = 1.959964
#: prompts at each side below which nothing is said of an effect
_PROMPTS = 5
#: how many examples of an alarm are told
_EXAMPLES = 3


@dataclass
class _Known:
    """An alarm that was told.

    Attributes:
        tellings: (batch, number in the run), in order.
        quiet: the first batch since which it was not found.
        due: batches since then, at which it is looked at whether it is over.
        over: whether it was.
    """

    tellings: list[tuple[int, int]] = field(default_factory=list)
    quiet: int | None = None
    due: int = 0
    over: bool = False

    def last(self, index: int) -> tuple[int, int] | None:
        """The last telling up to a batch."""
        return max((each for each in self.tellings if each[0] <= index), default=None)


@dataclass
class Alarms:
    """The alarms of a run.

    Args:
        again: when one is told again; None: never.
        folder: of the run.
        emit: tells of an event by its class and fields.
        told: called with each telling, when it is on record: its number, the monitor, what it is about, and in words.
    """

    again: Again | None
    folder: Path
    emit: Callable[..., None]
    told: Callable[[int, str, str, str], None]
    _known: dict[tuple[str, str], _Known] = field(default_factory=dict)
    _followed: set[tuple[str, str, int]] = field(default_factory=set)
    _count: int = 0
    _batches: list[int] = field(default_factory=list)
    _rows: dict[int, list[SeenRollout]] = field(default_factory=dict)

    def recorded(self, events: Iterable[Mapping[str, Any]]) -> None:
        """What was told before this process was there."""
        for each in events:
            if each["event"] == "AlarmRaised":
                self._count += 1
                known = self._known.setdefault((each["monitor"], each["about"]), _Known())
                known.tellings.append((each["rollout_index"], self._count))
            elif each["event"] == "AlarmFollowed":
                self._followed.add((each["monitor"], each["about"], each["alarm"]))

    @property
    def tellings(self) -> dict[int, tuple[str, str]]:
        """Monitor and what it is about, by the number of the telling."""
        return {number: key for key, known in self._known.items() for _, number in known.tellings}

    def batch(self, index: int) -> None:
        """The next batch that monitors look at."""
        self._batches.append(index)

    def look(self, name: str, owner: str, monitor: Monitor, index: int, found: Iterable[Alarm]) -> None:
        """What a monitor found at a batch.

        Args:
            name: of the monitor.
            owner: whose it is, for messages.
        """
        alarms: dict[str, Alarm] = {}
        for alarm in found:
            alarms.setdefault(alarm.about, alarm)
        for about, alarm in alarms.items():
            known = self._known.get((name, about))
            if known is None:
                self._tell(name, alarm, 0, ())
            else:
                self._found(known, name, owner, monitor, index, alarm)
        if self.again is None or not getattr(monitor, "sees", True):
            return
        for (own, about), known in list(self._known.items()):
            if own == name and about not in alarms and known.tellings[0][0] < index:
                self._not_found(self.again.after, known, name, owner, about, monitor, index)

    def end(self, monitors: Mapping[str, tuple[str, Monitor]]) -> None:
        """The training is over: what has become of the alarms that were answered and are not over.

        Args:
            monitors: owner and monitor by name.
        """
        if self.again is None or not self._batches:
            return
        last = self._batches[-1]
        for (name, about), known in self._known.items():
            if not known.over and name in monitors:
                owner, monitor = monitors[name]
                tried = self._tried(known, owner, name, about, monitor, last)
                if tried:
                    self._follow(known.tellings[-1][1], name, about, "open", last, tried)

    # -------------------------------------------------------------------------------------------------- what is decided
    def _found(self, known: _Known, name: str, owner: str, monitor: Monitor, index: int, alarm: Alarm) -> None:
        known.quiet = None
        again, last = self.again, known.last(index)
        if last is None or last[0] == index or any(at > index for at, _ in known.tellings):  # decided before
            known.over = known.over and (last is None or last[0] != index)
            return
        if again is None or len(known.tellings) > again.at_most:
            return
        if not known.over:
            start = max((each.from_rollout for each in self._entries(last[0], index)), default=None)
            wait, start = (again.after, start) if start is not None else (again.unanswered, last[0] + 1)
            if self._seen(start, index) < wait or self._falls(again.after, owner, name, alarm.about, monitor, index):
                return
        tried = self._tried(known, owner, name, alarm.about, monitor, index)
        known.over = False
        self._tell(name, alarm, len(known.tellings), tried)

    def _not_found(
        self, after: int, known: _Known, name: str, owner: str, about: str, monitor: Monitor, index: int
    ) -> None:
        last = known.last(index)
        if known.over or last is None:
            return
        if known.quiet is None:
            known.quiet, known.due = index, after
        if self._seen(known.quiet, index) < known.due:
            return
        known.due += after  # not found and not surely fallen is not over: looked at again as many batches later
        before = [each for each in self._batches if each <= last[0]][-SPAN:]
        change = self._change(owner, name, about, monitor, before, self._last(index))
        if change is not None and change["high"] >= 0:
            return
        known.over = True
        tried = self._tried(known, owner, name, about, monitor, index)
        self._follow(last[1], name, about, "gone" if change is None else "cured", known.quiet, tried)

    def _tell(self, name: str, alarm: Alarm, again: int, tried: Sequence[Mapping[str, Any]]) -> None:
        self._count += 1
        known = self._known.setdefault((name, alarm.about), _Known())
        known.tellings.append((alarm.since, self._count))
        # What a prohibition makes of the answers may ring another monitor, and rightly: they get shorter, or alike.
        cause = None if again else max(self._entries(alarm.since - FOLLOWS, alarm.since), key=_counts, default=None)
        text = alarm.text if cause is None else f"{alarm.text}; {_follows(cause)}"
        self.emit(
            AlarmRaised,
            stage=STAGE,
            monitor=name,
            about=alarm.about,
            text=text,
            rollout_index=alarm.since,
            p=alarm.p,
            examples=alarm.examples[:_EXAMPLES],
            flagged=alarm.flagged,
            forbid=alarm.forbid,
            bonus=alarm.bonus,
            phrases=alarm.phrases,
            again=again,
            tried=tuple(tried),
        )
        self.told(self._count, name, alarm.about, text)

    def _follow(
        self,
        number: int,
        name: str,
        about: str,
        state: Literal["cured", "gone", "open"],
        since: int,
        tried: Sequence[Mapping[str, Any]],
    ) -> None:
        if (name, about, number) in self._followed:
            return
        self._followed.add((name, about, number))
        words = {"cured": f"cured since batch {since}", "gone": f"not found any more since batch {since}"}
        text = words.get(state, f"neither cured nor gone at batch {since}, the last")
        self.emit(
            AlarmFollowed,
            stage=STAGE,
            monitor=name,
            about=about,
            alarm=number,
            state=state,
            rollout_index=since,
            text=text,
            tried=tuple(tried),
        )

    # ------------------------------------------------------------------------------------------------- what is measured
    def _entries(self, after: int, until: int) -> list[Intervention]:
        """Of the record, those that begin after one batch and count for the other."""
        found = read_record(self.folder / RECORD)
        return [each for each in found if after < each.from_rollout <= until]

    def _tried(
        self, known: _Known, owner: str, name: str, about: str, monitor: Monitor, index: int
    ) -> list[dict[str, Any]]:
        """Interventions since the alarm was first told, each with its effect until the next, or until now."""
        entries = sorted(self._entries(known.tellings[0][0], index), key=lambda each: (each.from_rollout, each.id))
        starts = sorted({each.from_rollout for each in entries})
        found = []
        for each in entries:
            end = next((start for start in starts if start > each.from_rollout), index + 1)
            before = [batch for batch in self._batches if batch < each.from_rollout][-SPAN:]
            after = [batch for batch in self._batches if each.from_rollout <= batch < end and batch <= index][-SPAN:]
            change = self._change(owner, name, about, monitor, before, after)
            change = change or dict.fromkeys(("before", "after", "low", "high", "n"))
            about_it = {"id": each.id, "from_rollout": each.from_rollout, "words": each.words, "who": each.who}
            found.append(about_it | change)
        return found

    def _falls(self, after: int, owner: str, name: str, about: str, monitor: Monitor, index: int) -> bool:
        """Whether what was found is still falling: surely less than so many batches ago."""
        behind = [batch for batch in self._batches if batch <= index][:-after]
        change = self._change(owner, name, about, monitor, behind[-SPAN:], self._last(index))
        return change is not None and change["high"] < 0

    def _change(
        self, owner: str, name: str, about: str, monitor: Monitor, before: Sequence[int], after: Sequence[int]
    ) -> dict[str, Any] | None:
        """How the mean of what a monitor measures changed, prompts as clusters; None where it measures nothing."""
        shows = getattr(monitor, "shows", None)
        if shows is None or not before or not after:
            return None
        sides = []
        for batches in (before, after):
            values: dict[str, list[float]] = {}
            for rollout in self._rollouts(batches):
                try:
                    with boundary(owner, f"monitor {name!r}, shows"):
                        value = shows(about, rollout)
                except SalmonError:  # what watches a run must not end it
                    return None
                if value is None or not math.isfinite(value):
                    return None
                values.setdefault(rollout.prompt_id, []).append(float(value))
            sides.append(clustered(values))
        one, other = sides
        n = min(one.clusters, other.clusters)
        if n < _PROMPTS:
            return None
        half, change = _Z * math.hypot(one.error, other.error), other.mean - one.mean
        return {"before": one.mean, "after": other.mean, "low": change - half, "high": change + half, "n": n}

    def _rollouts(self, batches: Sequence[int]) -> list[SeenRollout]:
        """Of the files: of a batch that monitors have looked at they do not change any more."""
        if len(self._rows) > 4 * SPAN:
            self._rows = {index: rows for index, rows in self._rows.items() if index in batches}
        for index in [each for each in batches if each not in self._rows]:
            files = [file for file in rollout_files(self.folder / STAGE) if int(file.stem.split("-")[1]) == index]
            rows = [row for file in files for row in read_table(file, ROLLOUTS)]
            self._rows[index] = [seen_rollout(row, place) for place, row in enumerate(rows)]
        return [each for index in batches for each in self._rows.get(index, ())]

    def _last(self, index: int) -> list[int]:
        return [each for each in self._batches if each <= index][-SPAN:]

    def _seen(self, start: int, until: int) -> int:
        """Batches looked at, from one to another."""
        return sum(start <= each <= until for each in self._batches)


def _counts(entry: Intervention) -> tuple[int, int]:
    """By where an intervention begins to count, and then by the record."""
    return entry.from_rollout, entry.id


def _follows(entry: Intervention) -> str:
    return (
        f"it may follow from intervention {entry.id}, which counts from batch {entry.from_rollout} on ({entry.words})"
    )


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


def tried_words(tried: Mapping[str, Any]) -> str:
    """An intervention and its effect, for people."""
    said = f"intervention {tried['id']} from batch {tried['from_rollout']} ({tried['words']}): "
    if tried.get("low") is None:
        return said + "effect not measured"
    interval = f"[{tried['low']:+.2f}, {tried['high']:+.2f}]"
    return f"{said}{tried['before']:.2f} -> {tried['after']:.2f} {interval}"
