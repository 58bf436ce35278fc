"""Larger and larger policies, which judge themselves and become reward models of their own size."""

from __future__ import annotations

from evidence.figure import Line, panels
from evidence.intervals import Interval
from evidence.question import Arm, Question, measured
from evidence.results import Read, Results, at, mean_of, rate, seconds
from evidence.table import arms_table
from evidence.wide import (
    FEW,
    ORDER,
    SIZES,
    WIDE_RATES,
    judge_accuracy,
    judged,
    policy,
    rewarded,
    wide_accuracy,
)

COUNT = 16
_OWN = ORDER[:COUNT]
_MEASURED = measured(
    WIDE_RATES, "{name: rm-accuracy, truth: minnow, samples: 8, max_set: 3}", "{name: evidence-wide, judged: true}"
)
#: the size of the policy -> the arm
ARMS = {size: Arm(size.upper(), (*policy(size), *judged(COUNT), *rewarded(*FEW), *_MEASURED)) for size in SIZES}

MODELS: dict[str, Read] = {
    "judge": judge_accuracy(_OWN),
    "judge, both orders": judge_accuracy(_OWN, twice=True),
    "RM": wide_accuracy("positive", _OWN),
    "RM, negated": wide_accuracy("negated", _OWN),
    "RM, other wording": mean_of(wide_accuracy("positive", _OWN, 2), wide_accuracy("negated", _OWN, 2)),
    "RM, sets of 2": at("rm", "sets", "joint", "2"),
    "RM, sets of 3": at("rm", "sets", "joint", "3"),
    "RM, never trained on": wide_accuracy("positive", ORDER[COUNT:]),
    "train-rm, s": seconds("train-rm"),
}
POLICIES: dict[str, Read] = {f"{name}, {when}": rate(name, when) for name in FEW for when in ("before", "change")}


def _line(label: str, results: Results, read: Read) -> Line:
    points: list[tuple[float, Interval]] = []
    for size, arm in ARMS.items():
        found = results.interval(arm, read)
        if found is not None:
            points.append((SIZES[size], found))
    return Line(label, points)


def _write(results: Results) -> list[str]:
    arms = list(ARMS.values())
    lines = [f"Right answers on {COUNT} principles:", "", *arms_table(results, arms, MODELS)]
    lines += ["RL by four of them, one shown for each rollout:", "", *arms_table(results, arms, POLICIES)]
    shown = ("judge", "RM", "RM, negated", "RM, other wording", "RM, sets of 3")
    drawn = panels(
        results.figures / "sizes.svg",
        {
            "right answers": [_line(name, results, MODELS[name]) for name in shown],
            "change by RL": [_line(name, results, rate(name, "change")) for name in FEW],
        },
        x="million parameters",
        log=True,
    )
    return [*lines, *([f"![By size of the policy]({results.link}/sizes.svg)", ""] if drawn else [])]


QUESTION = Question(
    "sizes",
    "Does a larger policy do it better?",
    f"""
Policies of the wide world, of {" and ".join(f"{size:g}" for size in SIZES.values())} million parameters, grown out of
the same one and trained on the same texts in the same order.
Each judges its own answers by {COUNT} of the 64 principles, becomes a reward model, and is trained by RL with it. The
largest learns at lower rates; all else is alike. `judge` is right where it prefers what the oracle does, both
orders together.
""",
    tuple(ARMS.values()),
    _write,
)
