"""Judgments as a table of scores, and what they say about the judge."""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from salmon_core.errors import DataError
from salmon_core.records import Judgment

Normalise = Literal["variance", "std", "none"]


class ByPair:
    """Judgments pair by pair, in whatever order they come; none is kept of those that come in the order of the pairs.

    Args:
        judgments: those of principles that are not asked about are left out.
    """

    def __init__(self, judgments: Iterable[Judgment]):
        self._left = iter(judgments)
        #: pair -> principle -> what came before its pair was asked about
        self._waiting: dict[str, dict[str, Judgment]] = {}
        self._without: set[str] = set()

    def of(self, pair: str, names: Sequence[str]) -> list[Judgment]:
        """Those under these principles, in this order.

        Raises:
            DataError: a judgment is missing, given twice, or not finite.
        """
        own = self._waiting.pop(pair, {})
        while lacking := [name for name in names if name not in own]:
            judgment = next(self._left, None)
            if judgment is None:
                raise DataError(
                    "is missing",
                    where=f"judgment of {pair} under {lacking[0]}",
                    hint="judge again, with the principles that are to be labelled by",
                )
            if judgment.pair_id == pair:
                self._add(own, judgment)
            else:
                self._wait(judgment)
        return [own[name] for name in names]

    def without(self, pair: str) -> None:
        """Judgments of this pair are not needed."""
        self._waiting.pop(pair, None)
        self._without.add(pair)

    def left(self) -> dict[str, dict[str, Judgment]]:
        """What nobody asked about, by pair and principle."""
        for judgment in self._left:
            self._wait(judgment)
        return self._waiting

    def _wait(self, judgment: Judgment) -> None:
        if judgment.pair_id not in self._without:
            self._add(self._waiting.setdefault(judgment.pair_id, {}), judgment)

    def _add(self, to: dict[str, Judgment], judgment: Judgment) -> None:
        where = f"judgment of {judgment.pair_id} under {judgment.principle}"
        if judgment.principle in to:
            raise DataError("is given twice", where=where)
        if not (math.isfinite(judgment.s12) and math.isfinite(judgment.s21)):
            raise DataError(f"is not finite: {judgment.s12}, {judgment.s21}", where=where)
        to[judgment.principle] = judgment


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


class Tally:
    """How a judge behaved under one principle, judgment by judgment."""

    def __init__(self) -> None:
        self._judged = self._ties = self._wins = 0
        self._shown_first = 0.0
        #: of the pairs on which the orders agree, how much was said
        self._agreed = array("d")

    def add(self, judgment: Judgment) -> None:
        """One more."""
        self._judged += 1
        if judgment.tie:
            self._ties += 1
            self._shown_first += 1.0
            return
        # In the order (2, 1) output 2 is shown first, and wins where the score is negative.
        self._shown_first += 1.0 + 0.5 * _sign(judgment.s12) - 0.5 * _sign(judgment.s21)
        if judgment.consistent:
            self._agreed.append(abs(judgment.score))
            self._wins += judgment.score > 0

    def describe(self) -> dict[str, Any]:
        """JSON-ready; rates are None where there is nothing to count.

        - `ties`: share of pairs that the judge called a tie
        - `agreement`: of the other pairs, the share on which both orders prefer the same completion
        - `first_shown`: share of orders that prefer the output shown first, 0.5 without position bias; an order that
          prefers neither is a half
        - `mean_abs_score`: of the pairs on which the orders agree, before normalisation
        - `prefers_first`: share of these on which completion 1 wins
        """
        agreed = len(self._agreed)
        return {
            "judged": self._judged,
            "ties": _share(self._ties, self._judged),
            "agreement": _share(agreed, self._judged - self._ties),
            "first_shown": _share(self._shown_first, 2 * self._judged),
            "mean_abs_score": _share(math.fsum(self._agreed), agreed),
            "prefers_first": _share(self._wins, agreed),
        }


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
