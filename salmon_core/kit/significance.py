"""Tests of rates and means whose values come in clusters (prompts), what they could have found, and many at once.

Errors are those of Liang and Zeger (1986): between clusters, so values of one prompt count together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from salmon_core.data.clustered import Clustered as Clustered
from salmon_core.data.clustered import clustered as clustered

_NORMAL = NormalDist()
#: chance of a false alarm, of both sides together; and of finding what is there
ALPHA, POWER = 0.05, 0.8


def difference_p(value: float, error: float, null: float) -> float:
    """How likely a value so far from `null`, on either side, is by chance (a normal test).

    Args:
        error: the standard error, were `null` true; infinite gives 1.
    """
    if value == null or math.isinf(error):
        return 1.0
    return math.erfc(abs(value - null) / error / math.sqrt(2)) if error > 0 else 0.0


def equivalence_p(value: float, error: float, target: float, band: float) -> float:
    """How likely a value so near to `target` is by chance, were the truth `band` away or more.

    The larger p of two one-sided tests (Schuirmann 1987).

    Raises:
        ValueError: no band.
    """
    if band <= 0:
        raise ValueError(f"a band has to be above 0, not {band}")
    room = band - abs(value - target)
    if math.isinf(error):
        return 1.0
    return _NORMAL.cdf(-room / error) if error > 0 else float(room <= 0)


def minimum_detectable(error: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest difference that a test of both sides finds with this power (Bloom 1995).

    Args:
        error: the standard error of what is tested.

    Raises:
        ValueError: not 0 < alpha < 1 or not 0 < power < 1.
    """
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha {alpha} and power {power} have to lie between 0 and 1")
    return (_NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)) * error


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """For each p its q: the smallest share of false findings at which it is one (Benjamini and Hochberg 1995).

    Raises:
        ValueError: a p outside of 0 to 1.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError("a p has to lie between 0 and 1")
    found = [1.0] * len(p_values)
    least = 1.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank in range(len(order), 0, -1):
        index = order[rank - 1]
        least = min(least, p_values[index] * len(order) / rank)
        found[index] = least
    return found
