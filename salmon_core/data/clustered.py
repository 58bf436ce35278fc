"""The mean of values that come in clusters, such as prompts, and its error (Liang and Zeger 1986)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clustered:
    """A mean of values in clusters.

    Attributes:
        error: its standard error, between clusters; 0 where all clusters are alike.
        clusters: that have a value.
        values: in all of them.
    """

    mean: float
    error: float
    clusters: int
    values: int

    @property
    def trials(self) -> float:
        """Of values from 0 to 1: as many independent ones would have this error.

        At most as many as there are values. Where all of them are 0, or all 1, the error says nothing: as many as
        clusters.
        """
        spread = self.mean * (1 - self.mean)
        if spread <= 0 or math.isinf(self.error):
            return float(self.clusters)
        return min(float(self.values), spread / max(self.error**2, 1e-12))

    def error_at(self, rate: float) -> float:
        """The standard error of a rate, were it this one, with the same trials; infinite of no values."""
        return math.sqrt(rate * (1 - rate) / self.trials) if self.values else math.inf


def clustered(values: Mapping[str, Sequence[float]]) -> Clustered:
    """The mean of all values, and its error.

    Args:
        values: by cluster; one without values counts as none.
    """
    sums = [(math.fsum(own), len(own)) for own in values.values() if own]
    n, count = len(sums), sum(size for _, size in sums)
    if not n:
        return Clustered(0.0, math.inf, 0, 0)
    mean = math.fsum(total for total, _ in sums) / count
    if n == 1:
        return Clustered(mean, math.inf, 1, count)
    squares = math.fsum((total - mean * size) ** 2 for total, size in sums)
    return Clustered(mean, math.sqrt(squares * n / (n - 1)) / count, n, count)
