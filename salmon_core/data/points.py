"""What a signed weight means, defined once for every format.

A weight counts by its size. A negative one says that the text describes what an answer should NOT do: the principle
then asks for the opposite, by its negated text where there is one, and by a plain frame around the text where there is
none.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_AVOIDS = "The response avoids this: {text}"


class Pointed(NamedTuple):
    """What a principle asks for, the opposite, and how much it counts, > 0."""

    text: str
    negated: str | None
    weight: float


def pointed(text: str, negated: str | None, weight: float, *, negative: bool = False) -> Pointed:
    """A principle as its points say.

    Args:
        negated: the text that asks for the opposite, or None where there is none.
        weight: signed.
        negative: the text describes what an answer should not do, as by a negative weight; both say it once.

    Raises:
        ValueError: a weight of 0, which would never count, or one that is no finite number.
    """
    if not math.isfinite(weight):
        raise ValueError(f"its weight is {weight}, which is no number to count by")
    if weight == 0:
        raise ValueError("its weight is 0, so it would never count")
    if not negative and weight > 0:
        return Pointed(text, negated, weight)
    return Pointed(_AVOIDS.format(text=text) if negated is None else negated, text, abs(weight))
