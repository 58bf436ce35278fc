"""Means over seeds with Student's t intervals, paired differences, and Holm's correction of many comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval; of one seed there is no interval (`half` is None).

    Attributes:
        values: by seed.
        p: two-sided, of a mean of 0; None for one seed.
    """

    values: Mapping[int, float]
    mean: float
    half: float | None
    p: float | None

    @classmethod
    def of(cls, values: Mapping[int, float]) -> Interval:
        """Student's t over seeds.

        Raises:
            ValueError: no values.
        """
        numbers = list(values.values())
        if not numbers:
            raise ValueError("no seed has a value")
        n, mean = len(numbers), fmean(numbers)
        if n < 2:
            return cls(dict(values), mean, None, None)
        error = stdev(numbers) / math.sqrt(n)
        half = float(stats.t.ppf(0.975, n - 1)) * error
        if error == 0:
            return cls(dict(values), mean, 0.0, 1.0 if mean == 0 else 0.0)
        return cls(dict(values), mean, half, 2 * float(stats.t.sf(abs(mean) / error, n - 1)))

    @property
    def apart(self) -> bool | None:
        """Whether the interval leaves 0 out; None for one seed."""
        return None if self.half is None else abs(self.mean) > self.half

    def text(self, *, signed: bool = False, digits: int = 2) -> str:
        """As `0.12 ± 0.03`; of large numbers without decimals."""
        digits = 0 if abs(self.mean) >= 100 else digits
        mean = f"{self.mean:+.{digits}f}" if signed else f"{self.mean:.{digits}f}"
        return mean if self.half is None else f"{mean} ± {self.half:.{digits}f}"


def paired(values: Mapping[int, float], base: Mapping[int, float]) -> Interval | None:
    """The difference to the base, seed by seed; None where they have no seed in common."""
    common = sorted(values.keys() & base.keys())
    return Interval.of({seed: values[seed] - base[seed] for seed in common}) if common else None


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values that keep the chance of any false finding below the level (Holm 1979); None stays None.

    The k-th smallest of m is multiplied by m - k + 1, and is no smaller than the one before it.
    """
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        adjusted[index] = largest
    return adjusted
