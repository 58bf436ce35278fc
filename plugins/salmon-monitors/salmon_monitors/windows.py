"""The beginning of a run and what is recent, and how sure a difference between them is.

An alarm is looked for after every batch. So that looking often does not make false alarms, the k-th look may only use
a share 1 / (k (k + 1)) of the chance that a monitor has to err; all shares together are 1.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api.monitors import Monitor, RolloutBatch, SeenRollout
from salmon_core.kit.significance import benjamini_hochberg, clustered

#: texts of which what was counted is kept: batches stay in a window, and are looked at again with each new one
KEPT = 2**12
_NORMAL = NormalDist()


@dataclass
class Windows:
    """The first batches of a run, and the last.

    Args:
        size: last batches; the first ones are twice as many, and nothing is told before there are both.
        one_reward: begin again where the interventions in force change: rewards before and after are of two kinds.
    """

    size: int
    first: list[RolloutBatch] = field(default_factory=list)
    last: deque[RolloutBatch] = field(default_factory=deque)
    looks: int = 0
    one_reward: bool = False
    _in_force: frozenset[int] = frozenset()

    def add(self, batch: RolloutBatch) -> bool:
        """One more; whether there is enough to compare."""
        in_force = frozenset(number for each in batch.rollouts for number in each.interventions)
        if self.one_reward and in_force != self._in_force:
            self.first, self.last = [], deque()
        self._in_force = in_force
        if len(self.first) < 2 * self.size:
            self.first.append(batch)
            return False
        self.last.append(batch)
        if len(self.last) > self.size:
            self.last.popleft()
        if not self.full:
            return False
        self.looks += 1
        return True

    @property
    def full(self) -> bool:
        """Whether there is enough to compare."""
        return len(self.last) >= self.size

    def corrected(self, p: float, comparisons: int = 1) -> float:
        """A p-value for all looks and all that was compared in this one."""
        return min(1.0, p * comparisons * self.looks * (self.looks + 1))

    def before(self) -> list[SeenRollout]:
        """Rollouts of the first batches."""
        return [each for batch in self.first for each in batch.rollouts]

    def now(self) -> list[SeenRollout]:
        """Of the last ones."""
        return [each for batch in self.last for each in batch.rollouts]


class Compared(BaseModel):
    """Options of all monitors that compare the last batches with the first ones."""

    model_config = ConfigDict(extra="forbid")

    level: float = Field(0.005, gt=0, lt=1, description="chance of a false alarm in a run, about")
    window: int = Field(2, ge=1, description="last batches, compared with twice as many at the beginning")


class Comparing(Monitor):
    """A monitor with two windows.

    Attributes:
        of_rewards: whether what it compares are rewards.
    """

    of_rewards: ClassVar[bool] = False

    def __init__(self, options: Compared):
        self._windows = Windows(options.window, one_reward=self.of_rewards)

    @property
    def sees(self) -> bool:
        """Whether both windows are full."""
        return self._windows.full


def difference(
    before: Sequence[SeenRollout],
    now: Sequence[SeenRollout],
    of: Callable[[SeenRollout], float],
    of_now: Callable[[SeenRollout], float] | None = None,
) -> tuple[float, float, float]:
    """How a mean changed. -> mean before, mean now, one-sided p of a rise.

    Samples of one prompt are no independent witnesses: errors are those between prompts.

    Args:
        of: the value of a rollout.
        of_now: of one of now, where that is computed otherwise.
    """
    sides = []
    for rollouts, value in ((before, of), (now, of_now or of)):
        by_prompt: dict[str, list[float]] = {}
        for each in rollouts:
            by_prompt.setdefault(each.prompt_id, []).append(value(each))
        sides.append(by_prompt)
    return change(*sides)


def change(before: Mapping[str, Sequence[float]], now: Mapping[str, Sequence[float]]) -> tuple[float, float, float]:
    """The same of values by cluster."""
    old, new = clustered(before), clustered(now)
    error = math.hypot(old.error, new.error)
    if error == 0:
        return old.mean, new.mean, 0.0 if new.mean > old.mean else 1.0
    return old.mean, new.mean, upper_tail((new.mean - old.mean) / error)


def upper_tail(z: float) -> float:
    """The chance that a standard normal number is above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def normal_scores(values: Sequence[float]) -> list[float]:
    """The normal quantiles of the values' ranks (van der Waerden 1952); equal values share the mean of their ranks."""
    ordered = sorted(range(len(values)), key=lambda i: values[i])
    scores = [0.0] * len(values)
    begin = 0
    while begin < len(ordered):
        end = begin
        while end < len(ordered) and values[ordered[end]] == values[ordered[begin]]:
            end += 1
        rank = (begin + 1 + end) / 2
        for i in ordered[begin:end]:
            scores[i] = _NORMAL.inv_cdf(rank / (len(values) + 1))
        begin = end
    return scores


def discoveries(ps: Mapping[str, float], level: float) -> set[str]:
    """Those whose false discovery rate is below the level."""
    return {key for key, q in zip(ps, benjamini_hochberg(list(ps.values())), strict=True) if q <= level}


def examples(rollouts: Sequence[SeenRollout], count: int = 3) -> tuple[str, ...]:
    """The most rewarded ones, of different texts."""
    ordered = sorted(rollouts, key=lambda each: (-each.reward, each.rollout_index, each.place))
    return tuple(dict.fromkeys(each.completion for each in ordered))[:count]


def names(rollouts: Sequence[SeenRollout]) -> tuple[tuple[int, int], ...]:
    """(rollout_index, place) of each."""
    return tuple((each.rollout_index, each.place) for each in rollouts)
