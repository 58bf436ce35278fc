"""Names of RL algorithms -> what trains them. A new algorithm is a row here and a trainer class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from salmon_trl.options import PolicyOptions


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to train a policy.

    Attributes:
        options: its option model.
        trainer: `module:class`, a `salmon_trl.rollouts.RolloutTrainer`; imported by the worker only.
        ignores: options that mean nothing to it; an error unless left at null.
    """

    options: type[PolicyOptions]
    trainer: str
    ignores: tuple[str, ...] = ()


ALGORITHMS: Mapping[str, Algorithm] = {
    "grpo": Algorithm(PolicyOptions, "salmon_trl.rollouts:GRPO"),
    "rloo": Algorithm(PolicyOptions, "salmon_trl.rollouts:RLOO", ignores=("loss_type", "scale_rewards")),
}
