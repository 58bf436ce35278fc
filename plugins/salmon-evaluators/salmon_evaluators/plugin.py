"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    yield Component(
        "rm-accuracy",
        "salmon_evaluators.rm_accuracy:RewardModelAccuracy",
        "held-out accuracy of the reward model",
        default=True,
    )
    yield Component(
        "reward-shift",
        "salmon_evaluators.reward_shift:RewardShift",
        "each reward before and after, identical draws",
        default=True,
    )
