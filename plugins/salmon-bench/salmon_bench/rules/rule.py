"""A principle that a program can check."""

from __future__ import annotations

import math
from dataclasses import dataclass

from salmon_bench.measures import Measure
from salmon_core.api import Principle


@dataclass(frozen=True)
class Bound:
    """What a measured value says: followed, broken, or neither, where it lies between or nothing was there to measure.

    Attributes:
        yes: from and to, both included; `no` the same.
    """

    yes: tuple[float, float]
    no: tuple[float, float]

    def follows(self, value: float) -> bool | None:
        """Whether an answer with this value follows the principle; None where nobody can say."""
        if self.yes[0] <= value <= self.yes[1]:
            return True
        return False if self.no[0] <= value <= self.no[1] else None


def at_least(number: float, *, less: float | None = None, signed: bool = False) -> Bound:
    """Followed from `number` on, broken from 0 to `less`.

    Args:
        less: one below `number`, unless it is given.
        signed: values below 0 are values, too.
    """
    return Bound((number, math.inf), (-math.inf if signed else 0.0, number - 1 if less is None else less))


def at_most(number: float, *, more: float | None = None) -> Bound:
    """Followed from 0 to `number`, broken from `more` on.

    Args:
        more: one above `number`, unless it is given.
    """
    return Bound((0.0, number), (number + 1 if more is None else more, math.inf))


@dataclass(frozen=True)
class Rule:
    """One of them.

    Attributes:
        measure: of (answer, prompt).
        texts: the principle's own text, and others that say the same.
        negated: the text that asks for the opposite.
    """

    name: str
    family: str
    measure: Measure
    bound: Bound
    texts: tuple[str, str, str]
    negated: str

    def measured(self, answer: str, prompt: str) -> float:
        """Its value, with four decimals."""
        return round(self.measure(answer, prompt), 4)

    def follows(self, answer: str, prompt: str) -> bool | None:
        """Whether an answer follows it; None where nobody can say."""
        return self.bound.follows(self.measured(answer, prompt))

    def right(self, answers: tuple[str, str], prompt: str) -> int | None:
        """Which of two answers follows it where the other does not; None where that is not so."""
        first, second = (self.follows(answer, prompt) for answer in answers)
        if first is None or second is None or first == second:
            return None
        return 0 if first else 1

    @property
    def principle(self) -> Principle:
        """As core knows it."""
        return Principle(self.name, self.texts[0], negated=self.negated, tags=(self.family,))
