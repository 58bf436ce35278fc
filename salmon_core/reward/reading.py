"""What the reward model is asked of one rollout, and what its answers say: as a whole, and principle by principle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from salmon_core.api.reward import Veto
from salmon_core.records import RewardBreakdown, ShownPrinciple

Combine = Literal["joint", "mean"]
_Set = tuple[ShownPrinciple, ...]


def label(principle: ShownPrinciple) -> str:
    """Its name in a breakdown: `NAME`, or `not NAME`."""
    return f"not {principle.name}" if principle.negated else principle.name


def by_principle(breakdowns: Iterable[RewardBreakdown]) -> dict[str, list[float]]:
    """The reward model's scores under each principle, of those rollouts that it was shown for."""
    found: dict[str, list[float]] = {}
    for breakdown in breakdowns:
        for name, value in breakdown.by_principle.items():
            found.setdefault(name, []).append(value)
    return found


def sets_of(principles: Sequence[ShownPrinciple], combine: Combine) -> list[_Set]:
    """The sets of principles that make a text each."""
    return [tuple(principles)] if combine == "joint" or not principles else [(each,) for each in principles]


@dataclass(frozen=True, slots=True)
class Read:
    """What the answers say; see `salmon_core.records.RewardBreakdown`."""

    score: float
    by_principle: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, float] = field(default_factory=dict)
    vetoed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What one rollout is scored by.

    Attributes:
        principles: as shown, in order.
        combine: all in one text, or a text each and the weighted mean.
        weights: of principles that bring none of their own; 1 for others.
        veto: below which score a hard rule is broken; None asks nothing for it.
        explain: of a joint text, ask for what is left without each of the principles.
    """

    principles: _Set
    combine: Combine
    weights: Mapping[str, float]
    veto: Veto | None = None
    explain: bool = False

    @property
    def sets(self) -> list[_Set]:
        """The sets of principles that make a text each, no set twice; what they share is read once."""
        return list(dict.fromkeys([*self._scored, *self._without, *self._rules]))

    def read(self, values: Sequence[float]) -> Read:
        """From the scores of those texts, in order."""
        said = dict(zip(self.sets, values, strict=True))
        alone = {label(each): said[each,] for (each,) in self._rules}
        shares: dict[str, float] = {}
        if self.combine == "mean" and self.principles:
            alone = {label(each): said[each,] for each in self.principles}
            weights = [self._weight(each) for each in self.principles]
            shares = {label(each): weight / sum(weights) for each, weight in zip(self.principles, weights, strict=True)}
            own = zip(weights, self.principles, strict=True)
            score = sum(weight * said[each,] for weight, each in own) / sum(weights)
        else:
            score = said[self.principles]
        vetoed: tuple[str, ...] = ()
        if self.veto is not None:
            hard = (label(each) for each in self.principles if each.veto)
            vetoed = tuple(name for name in hard if alone[name] < self.veto.below)
        left = zip(self.principles, self._without, strict=False)  # of no explanation there is nothing to pair with
        left_out = {label(each): score - said[without] for each, without in left}
        return Read(score, alone, shares, left_out, vetoed)

    @property
    def _scored(self) -> list[_Set]:
        return sets_of(self.principles, self.combine)

    @property
    def _without(self) -> list[_Set]:
        if not (self.explain and self.combine == "joint"):
            return []
        return [tuple(other for other in self.principles if other is not each) for each in self.principles]

    @property
    def _rules(self) -> list[_Set]:
        """Hard rules that have no text of their own yet."""
        if self.veto is None or self.combine == "mean":
            return []
        return [(each,) for each in self.principles if each.veto]

    def _weight(self, principle: ShownPrinciple) -> float:
        return self.weights.get(principle.name, 1.0) if principle.weight is None else principle.weight
