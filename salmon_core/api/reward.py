"""Bonuses, and the reward as a job carries it to whoever scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import ModelSpec
from salmon_core.api.templates import Limits
from salmon_core.records import Rollout, ShownPrinciple


class Bonus:
    """A symbolic reward. Pure: the same rollouts give the same numbers. Implement one of the two methods."""

    def score(self, rollouts: Sequence[Rollout]) -> Sequence[float]:
        """One finite number per rollout; the configured weight is applied by the reward."""
        return [self.score_one(rollout) for rollout in rollouts]

    def score_one(self, rollout: Rollout) -> float:
        """A finite number."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ScheduledPrinciple:
    """An intervention: always shown first, from rollout index `start` to before `end` (arXiv 2310.05910, 3.3)."""

    shown: ShownPrinciple
    start: int = 0
    end: int | None = None

    def in_force(self, rollout_index: int) -> bool:
        """Whether it is shown for rollouts of this index."""
        return self.start <= rollout_index and (self.end is None or rollout_index < self.end)


@dataclass(frozen=True, slots=True)
class ScheduledWeight:
    """An intervention: another weight, from rollout index `start` to before `end`.

    Attributes:
        of: whether `name` is a principle, or a bonus' label.
        value: finite; of a principle >= 0, and 0 leaves it out of what is shown.
    """

    of: Literal["principle", "bonus"]
    name: str
    value: float
    start: int = 0
    end: int | None = None

    def in_force(self, rollout_index: int) -> bool:
        """Whether it holds for rollouts of this index."""
        return self.start <= rollout_index and (self.end is None or rollout_index < self.end)


@dataclass(frozen=True, slots=True)
class BonusSpec:
    """A bonus, the label it is logged under, and its weight."""

    label: str
    weight: float
    component: ComponentSpec


@dataclass(frozen=True, slots=True)
class Veto:
    """What becomes of a rollout that breaks a hard rule (a principle with `veto`), whatever else it has.

    Attributes:
        below: the reward model's score under the rule alone, below which it is broken.
        floor: the reward then.
    """

    below: float
    floor: float


@dataclass(frozen=True, slots=True)
class RewardSpec:
    """All that scoring a rollout takes, in any process.

    Attributes:
        template: by which the reward model is asked.
        engine: opens the reward model, and the policy's tokenizer.
        model: the trained reward model; None where its weight is 0.
        policy: whose tokenizer's special tokens are made plain as well.
        combine: all principles in one text, or one text each and the weighted mean.
        weights: of the principles, for that mean.
        file_plugins: absolute paths.
        on_failure: `stop`, or the score that a failed component gets.
        veto: for principles that are hard rules; None: there are none.
        explain_every: every so many-th of the rollouts that are written down tells what each principle of its joint
            text gave; 0: none does.
        reweighted: weights that change while a run goes on.
        record: absolute path of a running run's `interventions.jsonl`, which grows while it goes on: each generated
            batch is rewarded by what stands there when it begins. None: nothing is added to what stands here.
    """

    template: ComponentSpec
    limits: Limits
    engine: ComponentSpec
    model: ModelSpec | None
    policy: ModelSpec
    rm_weight: float = 1.0
    combine: Literal["joint", "mean"] = "joint"
    weights: Mapping[str, float] = field(default_factory=dict)
    interventions: tuple[ScheduledPrinciple, ...] = ()
    reweighted: tuple[ScheduledWeight, ...] = field(default=(), metadata={"uncounted": True})  # of a record, too
    bonuses: tuple[BonusSpec, ...] = ()
    file_plugins: tuple[str, ...] = ()
    on_failure: float | Literal["stop"] = "stop"
    veto: Veto | None = None
    explain_every: int = field(default=0, metadata={"uncounted": True})  # of what is told, not of what is computed
    record: str | None = field(default=None, metadata={"uncounted": True})  # a result, not an input
