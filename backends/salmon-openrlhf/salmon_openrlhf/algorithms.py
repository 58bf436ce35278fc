"""Names of algorithms -> what OpenRLHF calls them. A new one is a row here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from salmon_openrlhf.options import DPOOptions, GroupOptions, PolicyOptions, PPOOptions, ReinforceOptions, RowOptions


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to train a policy by rollouts.

    Attributes:
        options: its option model.
        estimator: OpenRLHF's `--algo.advantage.estimator`.
        kl_loss: estimator of the KL divergence as a part of the loss; None: the KL is a penalty in the reward.
        critic: whether it has one.
    """

    options: type[PolicyOptions]
    estimator: str
    kl_loss: str | None = None
    critic: bool = False


#: algorithms that train on preference rows -> their option models
ON_PREFERENCES: Mapping[str, type[RowOptions]] = {"dpo": DPOOptions}

#: KL as OpenRLHF's own scripts for each algorithm have it
ALGORITHMS: Mapping[str, Algorithm] = {
    "ppo": Algorithm(PPOOptions, "gae", critic=True),
    "reinforce++": Algorithm(ReinforceOptions, "reinforce"),
    "reinforce++-baseline": Algorithm(GroupOptions, "reinforce_baseline", kl_loss="k2"),
    "grpo": Algorithm(GroupOptions, "group_norm", kl_loss="k3"),
    "rloo": Algorithm(GroupOptions, "rloo"),
}
