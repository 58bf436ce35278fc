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

from salmon_core.api.monitors import RolloutBatch, SeenRollout

_NORMAL = NormalDist()


@dataclass
class Windows:
    """The first batches of a run, and the last.

    Args:
        size: last batches; the first ones are twice as many, and nothing is told before there are both.
    """

    size: int
    first: list[RolloutBatch] = field(default_factory=list)
    last: deque[RolloutBatch] = field(default_factory=deque)
    looks: int = 0

    def add(self, batch: RolloutBatch) -> bool:
        """One more; whether there is enough to compare."""
        if len(self.first) < 2 * self.size:
            self.first.append(batch)
            return False
        self.last.append(batch)
        if len(self.last) > self.size:
            self.last.popleft()
        if len(self.last) < self.size:
            return False
        self.looks += 1
        return True

    def corrected(self, p: float, comparisons: int = 1) -> float:
        """A p-value for all looks and all that was compared in this one."""
        return min(1.0, p * comparisons * self.looks * (self.looks + 1))

    def before(self) -> list[SeenRollout]:
        """Rollouts of the first batches."""
        return [each for batch in self.first for each in batch.rollouts]

    def now(self) -> list[SeenRollout]:
        """Of the last ones."""
        return [each for batch in self.last for each in batch.rollouts]


def difference(
    before: Sequence[SeenRollout],
    now: Sequence[SeenRollout],
    of: Callable[[SeenRollout], float],
    of_now: Callable[[SeenRollout], float] | None = None,
) -> tuple[float, float, float]:
    """How a mean changed. -> mean before, mean now, one-sided p of a rise (Welch's z over prompts).

    Samples of one prompt are no independent witnesses: means of prompts are compared.

    Args:
        of: the value of a rollout.
        of_now: of one of now, where that is computed otherwise.
    """
    sides = []
    for rollouts, value in ((before, of), (now, of_now or of)):
        by_prompt: dict[str, list[float]] = {}
        for each in rollouts:
            by_prompt.setdefault(each.prompt_id, []).append(value(each))
        means = [math.fsum(own) / len(own) for own in by_prompt.values()]
        mean = math.fsum(means) / len(means) if means else 0.0
        variance = math.fsum((each - mean) ** 2 for each in means) / (len(means) - 1) if len(means) > 1 else math.inf
        sides.append((mean, variance / max(1, len(means))))
    (old, old_error), (new, new_error) = sides
    error = math.sqrt(old_error + new_error)
    if error == 0:
        return old, new, 0.0 if new > old else 1.0
    return old, new, upper_tail((new - old) / error)


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
    """Those whose false discovery rate is below the level (Benjamini & Hochberg 1995)."""
    ordered = sorted(ps, key=lambda key: ps[key])
    found = 0
    for rank, key in enumerate(ordered, 1):
        if ps[key] <= level * rank / len(ordered):
            found = rank
    return set(ordered[:found])


def examples(rollouts: Sequence[SeenRollout], count: int = 3) -> tuple[str, ...]:
    """The most rewarded ones, of different texts."""
    ordered = sorted(rollouts, key=lambda each: (-each.reward, each.rollout_index, each.row))
    return tuple(dict.fromkeys(each.completion for each in ordered))[:count]


def names(rollouts: Sequence[SeenRollout]) -> tuple[tuple[int, int], ...]:
    """(rollout_index, row) of each."""
    return tuple((each.rollout_index, each.row) for each in rollouts)
