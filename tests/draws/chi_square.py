"""Whether counts fit a distribution."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping


def fits(counts: Mapping[Hashable, int], expected: Mapping[Hashable, float]) -> bool:
    """Pearson's chi-square, four standard deviations of its Wilson-Hilferty normal form; `expected` adds up to 1."""
    assert math.isclose(math.fsum(expected.values()), 1.0)
    assert set(counts) <= set(expected)
    n, freedom = sum(counts.values()), len(expected) - 1
    statistic = sum((counts.get(key, 0) - n * p) ** 2 / (n * p) for key, p in expected.items())
    spread = 2 / (9 * freedom)
    return ((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread) < 4
