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
    yield Component("win-rate", "salmon_evaluators.win_rate:WinRate", "after against before, by the judge")
    yield Component("oracle", "salmon_evaluators.oracle:OracleWins", "after against before, by an oracle")
    yield Component("mt-bench", "salmon_evaluators.mt_bench:MTBench", "conversations of two turns, rated and compared")
