"""Judgments as a table of scores, and what they say about the judge."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from salmon_core.errors import DataError
from salmon_core.records import Judgment, Pair

Normalise = Literal["variance", "std", "none"]


def by_principle(
    pairs: Sequence[Pair], judgments: Iterable[Judgment], names: Sequence[str]
) -> dict[str, list[Judgment]]:
    """Principle -> its judgments, in the order of the pairs.

    Raises:
        DataError: a judgment is missing, given twice, or not finite.
    """
    wanted = {pair.id for pair in pairs}
    found: dict[tuple[str, str], Judgment] = {}
    for judgment in judgments:
        if judgment.pair_id not in wanted:
            continue
        where = f"judgment of {judgment.pair_id} under {judgment.principle}"
        if (judgment.principle, judgment.pair_id) in found:
            raise DataError("is given twice", where=where)
        if not (math.isfinite(judgment.s12) and math.isfinite(judgment.s21)):
            raise DataError(f"is not finite: {judgment.s12}, {judgment.s21}", where=where)
        found[judgment.principle, judgment.pair_id] = judgment
    for name in names:
        for pair in pairs:
            if (name, pair.id) not in found:
                raise DataError(
                    "is missing",
                    where=f"judgment of {pair.id} under {name}",
                    hint="judge again, with the principles that are to be labelled by",
                )
    return {name: [found[name, pair.id] for pair in pairs] for name in names}


@dataclass(frozen=True, slots=True)
class Scale:
    """What a principle's scores are divided by; None where they do not vary, so that they say nothing."""

    divisor: float | None

    def __call__(self, score: float) -> float:
        return 0.0 if self.divisor is None else score / self.divisor


def scale_of(scores: Sequence[float], normalise: Normalise) -> Scale:
    """The scale of one principle from its scores over all pairs, 0 where the orders disagree.

    The paper divides by the (population) variance. It makes a principle with small scores count for more than one
    with large scores; `std` puts all on one scale.
    """
    if normalise == "none":
        return Scale(1.0)
    if not scores or min(scores) == max(scores):
        return Scale(None)
    variance = statistics.pvariance(scores)  # exact, so it does not depend on the order of the pairs
    divisor = variance if normalise == "variance" else math.sqrt(variance)
    largest = max(map(abs, scores))
    return Scale(divisor if divisor > 0 and math.isfinite(largest / divisor) else None)


def describe(judgments: Sequence[Judgment]) -> dict[str, Any]:
    """How a judge behaved under one principle. JSON-ready; rates are None where there is nothing to count.

    - `ties`: share of pairs that the judge called a tie
    - `agreement`: of the other pairs, the share on which both orders prefer the same completion
    - `first_shown`: share of orders that prefer the output shown first, 0.5 without position bias; an order that
      prefers neither is a half
    - `mean_abs_score`: of the pairs on which the orders agree, before normalisation
    - `prefers_first`: share of these on which completion 1 wins
    """
    told_apart = [judgment for judgment in judgments if not judgment.tie]
    agreed = [judgment.score for judgment in told_apart if judgment.consistent]
    # In the order (2, 1) output 2 is shown first, and wins where the score is negative.
    shown_first = [
        value for judgment in judgments for value in ((0.0, 0.0) if judgment.tie else (judgment.s12, -judgment.s21))
    ]
    return {
        "judged": len(judgments),
        "ties": _share(len(judgments) - len(told_apart), len(judgments)),
        "agreement": _share(len(agreed), len(told_apart)),
        "first_shown": _share(sum(0.5 + 0.5 * _sign(value) for value in shown_first), len(shown_first)),
        "mean_abs_score": _share(math.fsum(map(abs, agreed)), len(agreed)),
        "prefers_first": _share(sum(score > 0 for score in agreed), len(agreed)),
    }


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
