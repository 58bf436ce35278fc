"""Wins of after over before: counted by prompt, with intervals, and as parts of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from salmon_core.api import Target
from salmon_core.kit.statistics import clustered_rate
from salmon_core.records import Estimate

#: what became of one comparison, as the rate of wins counts it
WIN, TIE, LOSS = 1.0, 0.5, 0.0
COLUMNS = ("wins", "ties", "losses", "win rate", "95 % interval", "n")


@dataclass
class Wins:
    """Comparisons of after with before.

    Attributes:
        by_prompt: what became of each, by prompt or question: 1 a win of after, 0 one of before, a half a tie.
    """

    by_prompt: dict[str, list[float]] = field(default_factory=dict)

    def add(self, prompt: str, value: float) -> None:
        """One more."""
        self.by_prompt.setdefault(prompt, []).append(value)

    def count(self, value: float) -> int:
        """How many became of that kind."""
        return sum(own.count(value) for own in self.by_prompt.values())

    @property
    def rate(self) -> Estimate:
        """Of after over before, ties counted half; its interval counts prompts, its `n` comparisons."""
        return clustered_rate(self.by_prompt)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: `wins`, `ties`, `losses` and the estimate `win_rate`."""
        counts = {"wins": self.count(WIN), "ties": self.count(TIE), "losses": self.count(LOSS)}
        return {**counts, "win_rate": asdict(self.rate)}

    def cells(self) -> tuple[str | float | int | None, ...]:
        """Under `COLUMNS`."""
        rate = self.rate
        counts = (self.count(WIN), self.count(TIE), self.count(LOSS))
        shown = (f"{rate.value:.3f}", f"{rate.low:.3f} .. {rate.high:.3f}") if rate.n else (None, None)
        return (*counts, *shown, rate.n)

    def target(self, name: str, wanted: Literal["more", "less", ""] = "more", principle: str = "") -> Target:
        """As a rate of before's wins and one of after's, ties half to each; they add up to one."""
        rate = self.rate
        ci = (2 * rate.low - 1, 2 * rate.high - 1)
        return Target(name, 1 - rate.value, rate.value, ci, wanted, principle, n=len(self.by_prompt))


def outcome(margin: float) -> float:
    """Of a comparison in which more than 0 speaks for after."""
    return WIN if margin > 0 else LOSS if margin < 0 else TIE


def at_equal_length(wins: Sequence[tuple[str, float, float]]) -> Estimate | None:
    """The win rate that is left where both answers are of one length (after arXiv 2404.04475, for two policies).

    A logistic regression of the outcome on the difference of lengths, through tanh of it over its standard deviation,
    read at no difference. Its interval is of the sandwich kind, with prompts as clusters (Liang and Zeger 1986).

    Args:
        wins: of each comparison the prompt, the outcome, and the length of after minus that of before.

    Returns:
        None where it cannot be told: too few prompts, or lengths or lack of ties that decide everything.
    """
    clusters = sorted({prompt for prompt, _, _ in wins})
    n = len(wins)
    if len(clusters) < 2:
        return None
    spread = math.sqrt(sum(length * length for *_, length in wins) / n)
    rows = [(prompt, value, math.tanh(length / spread) if spread else 0.0) for prompt, value, length in wins]
    varies = any(x != rows[0][2] for *_, x in rows)
    a, b = 0.0, 0.0
    for _ in range(100):
        gradient, hessian = [0.0, 0.0], [0.0, 0.0, 0.0]
        for _, value, x in rows:
            p = _sigmoid(a + b * x)
            weight = p * (1 - p)
            gradient[0], gradient[1] = gradient[0] + value - p, gradient[1] + (value - p) * x
            hessian = [hessian[0] + weight, hessian[1] + weight * x, hessian[2] + weight * x * x]
        step = _solved(hessian, gradient, varies=varies)
        if step is None:
            return None
        a, b = a + step[0], b + step[1]
        if max(abs(a), abs(b)) > 20:  # separated: every win goes with one sign
            return None
        if max(map(abs, step)) < 1e-10:
            break
    else:
        return None
    error = _sandwich(rows, hessian, a, b, varies=varies)
    return Estimate(_sigmoid(a), _sigmoid(a - 1.959964 * error), _sigmoid(a + 1.959964 * error), n)


def _sandwich(
    rows: Sequence[tuple[str, float, float]], hessian: Sequence[float], a: float, b: float, *, varies: bool
) -> float:
    """The standard error of the intercept, with clusters."""
    sums: dict[str, list[float]] = {}
    for prompt, value, x in rows:
        rest = value - _sigmoid(a + b * x)
        own = sums.setdefault(prompt, [0.0, 0.0])
        own[0], own[1] = own[0] + rest, own[1] + rest * x
    meat = [[sum(own[i] * own[j] for own in sums.values()) for j in (0, 1)] for i in (0, 1)]
    first = _solved(hessian, (1.0, 0.0), varies=varies)
    if first is None:
        return math.inf
    variance = sum(first[i] * meat[i][j] * first[j] for i in (0, 1) for j in (0, 1))
    return math.sqrt(max(0.0, variance) * len(sums) / (len(sums) - 1))


def _solved(matrix: Sequence[float], right: Sequence[float], *, varies: bool) -> tuple[float, float] | None:
    """Of two equations with a symmetric matrix (aa, ab, bb); where x does not vary, of the first alone."""
    aa, ab, bb = matrix
    if not varies:
        return (right[0] / aa, 0.0) if aa > 1e-12 else None
    determinant = aa * bb - ab * ab
    if determinant <= 1e-12 * max(1e-300, aa * bb):
        return None
    return (right[0] * bb - right[1] * ab) / determinant, (right[1] * aa - right[0] * ab) / determinant


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def by_name(groups: Mapping[str, Wins]) -> dict[str, Any]:
    """JSON-ready."""
    return {name: wins.to_json() for name, wins in groups.items()}
