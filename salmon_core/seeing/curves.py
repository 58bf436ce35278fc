"""A training's numbers as curves over one axis, with what was raised and what was done beside them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from salmon_core.data.interventions import RECORD, read_record
from salmon_core.errors import SalmonError
from salmon_core.seeing.eventlog import EventLog, StageLog

BATCHES, STEPS = "generated batch", "optimizer step"
#: points of a curve at most; of more the mean of neighbours is shown
POINTS = 500
#: curves that say most, first; (name, title)
TELLING = (
    ("reward", "reward"),
    ("kl", "KL from the start, nats"),
    ("completions/mean_length", "length, tokens"),
    ("value/loss", "value loss"),
    ("entropy", "entropy, nats"),
    ("loss", "policy loss"),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something at one place of the axis.

    Attributes:
        at: place on the axis.
        label: short: `A1` for the first alarm, `I2` for the second intervention.
    """

    kind: Literal["alarm", "intervention"]
    label: str
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Curve:
    """One number over the axis.

    Attributes:
        name: as trainers log it.
        x: and `y`: equally many, x ascending.
    """

    name: str
    title: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves of one training.

    Attributes:
        axis: what is on the axis.
        curves: those that say most first, then what adds up to the reward, then the rest by name.
        marks: in order.
    """

    axis: str
    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...]

    def named(self, names: Iterable[str]) -> list[Curve]:
        """Those of these names, in their order, as far as they are there."""
        by_name = {each.name: each for each in self.curves}
        return [by_name[name] for name in names if name in by_name]

    @property
    def components(self) -> list[Curve]:
        """The means of what adds up to the reward."""
        return [each for each in self.curves if each.name.startswith("reward/") and each.name.endswith("/mean")]


def training_curves(log: EventLog, run: Path) -> Curves:
    """Of the policy's training, with alarms and interventions.

    The axis counts generated batches where rollouts were written down, which alarms and interventions are numbered by;
    steps between two of them lie between. Else it counts optimizer steps.
    """
    own = log.training
    return Curves(_axis(own), tuple(_curves(own)), tuple(_marks(own, run)))


def stage_curves(log: EventLog, stage: str) -> Curves:
    """Of any training, over optimizer steps."""
    own = log.stage(stage)
    return Curves(STEPS, tuple(_curves(own, by_step=True)), ())


def _axis(own: StageLog) -> str:
    return BATCHES if len(own.anchors) > 1 else STEPS


def _curves(own: StageLog, *, by_step: bool = False) -> list[Curve]:
    titles = dict(TELLING)
    found: dict[str, tuple[list[float], list[float]]] = {}
    place = (lambda step: float(step)) if by_step or _axis(own) == STEPS else _batch_of(own.anchors)
    for step in sorted(own.steps):
        at = place(step)
        for name, value in own.steps[step].items():
            xs, ys = found.setdefault(name, ([], []))
            xs.append(at)
            ys.append(value)
    order = {name: number for number, name in enumerate(titles)}

    def rank(name: str) -> tuple[int, str]:
        component = name.startswith("reward/") and name.endswith("/mean")
        return (order.get(name, len(order) + (not component)), name)

    def title(name: str) -> str:
        if name == "loss" and by_step:
            return "loss"
        part = name.removeprefix("reward/").removesuffix("/mean")
        return f"reward by {part}" if rank(name)[0] == len(order) else titles.get(name, name)

    return [Curve(name, title(name), *_fewer(*found[name])) for name in sorted(found, key=rank) if found[name][0]]


class _batch_of:
    """The place of an optimizer step among generated batches, by what was known after how many steps."""

    def __init__(self, anchors: Sequence[tuple[int, int]]):
        steps: dict[int, int] = {}
        for step, batch in sorted(anchors):
            steps[step] = batch  # of several after the same step the last
        self._steps, self._batches = list(steps), list(steps.values())

    def __call__(self, step: int) -> float:
        """A step belongs to the batch that was written before it; the last one's width is that of the one before."""
        at = bisect_right(self._steps, step - 1) - 1
        if at < 0:
            return float(self._batches[0])
        start, batch = self._steps[at], self._batches[at]
        if at + 1 < len(self._steps):
            width, batches = self._steps[at + 1] - start, self._batches[at + 1] - batch
        elif at:
            width, batches = start - self._steps[at - 1], batch - self._batches[at - 1]
        else:
            width, batches = 1, 1
        return batch + min((step - 1 - start) / max(1, width), 1.0) * batches


def _fewer(xs: Sequence[float], ys: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if len(xs) <= POINTS:
        return tuple(xs), tuple(ys)
    size = -(-len(xs) // POINTS)
    parts = [slice(start, start + size) for start in range(0, len(xs), size)]
    return tuple(_mean(xs[part]) for part in parts), tuple(_mean(ys[part]) for part in parts)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _marks(own: StageLog, run: Path) -> list[Mark]:
    found = [
        Mark("alarm", f"A{number}", float(each.get("rollout_index") or 0), f"{each.get('monitor')}: {each.get('text')}")
        for number, each in enumerate(own.alarms, 1)
    ]
    try:
        record = read_record(run / RECORD)
    except SalmonError:  # a damaged record is said where the record is shown
        record = []
    found += [
        Mark("intervention", f"I{each.id}", float(each.from_rollout), f"{each.words} (by {each.who})")
        for each in record
    ]
    return sorted(found, key=lambda mark: mark.at)
