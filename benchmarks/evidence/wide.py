"""What arms on the wide world are made of: the quickstart's configuration, with another policy and other principles."""

from __future__ import annotations

import random

from evidence.question import ORACLE, measured
from evidence.results import Read, at, mean_of
from salmon_minnow.plugin import WIDE
from salmon_minnow.wide.principles import NAMES

#: Parameters in millions, by the names of the policies.
SIZES = {size: float(size.removesuffix("m")) for size in WIDE}
#: The learning rate of the reward model and of RL, by size.
_RATES = {"0.5m": (1.5e-3, 5e-4), "1m": (1.5e-3, 5e-4), "3m": (1e-3, 3.5e-4)}

#: Rewarded, one of them shown for each rollout, where several are.
FEW = ("vivid", "example", "english", "exclaims")


def _order() -> tuple[str, ...]:
    first = (*FEW, "helpful", "no-self-praise", "language", "steps")
    rest = [name for name in NAMES if name not in first]
    random.Random(0).shuffle(rest)
    return (*first, *rest)


#: All 64, so that the first N are of every sort.
ORDER = _order()


def policy(size: str) -> tuple[str, ...]:
    """Settings: a wide policy, and what is cheaper than in the quickstart: its answers are longer."""
    reward, rl = _RATES[size]
    return (
        f"policy.model=plugin:minnow-wide-{size}",
        "sample.samples=4",
        "sample.max_new_tokens=64",
        "train.options.max_completion_length=64",
        "label.repeats=20",
        f"reward_model.options.learning_rate={reward}",
        f"train.options.learning_rate={rl}",
        "train.options.max_steps=16",
        "judge.on_weak=warn",
        "plugins=[evidence_world.py, evidence_wide.py]",
    )


def judged(count: int) -> tuple[str, ...]:
    """Settings: judged by the first so many principles."""
    return (f"judge.principles={{name: minnow-wide, only: [{', '.join(ORDER[:count])}]}}",)


def rewarded(*names: str) -> tuple[str, ...]:
    """Settings: rewarded by these, one of them shown for each rollout."""
    return (f"reward.principles={{name: minnow-wide, only: [{', '.join(names)}]}}", "reward.show=1")


#: the policy's rates, of the few as well
WIDE_RATES = f"{ORACLE[:-1]}, principles: [english, exclaims]}}"
#: what the reward model knows, and what the policy does
WIDE_BOTH = measured(WIDE_RATES, "{name: evidence-wide}")


def wide_accuracy(polarity: str, names: tuple[str, ...] = ORDER, wording: int = 1) -> Read:
    """The reward model's share of right answers, the mean over principles."""
    return mean_of(*(at("evaluators", "evidence-wide", "alone", name, polarity, str(wording)) for name in names))


def judge_accuracy(names: tuple[str, ...] = ORDER, *, twice: bool = False) -> Read:
    """The judge's share of right answers; `twice`: in both orders."""
    key = "judged_twice" if twice else "judged"
    return mean_of(*(at("evaluators", "evidence-wide", key, name) for name in names))
