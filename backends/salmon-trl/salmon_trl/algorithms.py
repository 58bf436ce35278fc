"""Names of RL algorithms -> what trains them. A new algorithm is a row here and a trainer class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from salmon_trl.options import DPOOptions, GroupOptions, PPOOptions, RolloutOptions, TrainOptions


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to train a policy.

    Attributes:
        options: its option model.
        trainer: `module:class`, a `salmon_trl.rollouts.RolloutTrainer`; imported by the worker only.
        ignores: options that mean nothing to it; an error unless left at null.
    """

    options: type[RolloutOptions]
    trainer: str
    ignores: tuple[str, ...] = ()


#: algorithms that train on preference rows -> their option models
ON_PREFERENCES: Mapping[str, type[TrainOptions]] = {"dpo": DPOOptions}

ALGORITHMS: Mapping[str, Algorithm] = {
    "ppo": Algorithm(PPOOptions, "salmon_trl.rollouts:PPO"),
    "grpo": Algorithm(GroupOptions, "salmon_trl.rollouts:GRPO"),
    "rloo": Algorithm(GroupOptions, "salmon_trl.rollouts:RLOO", ignores=("loss_type", "scale_rewards")),
}
