"""Rates, means and their 95 % intervals. Samples of one prompt are not independent: intervals resample prompts.

Of no values at all nothing is known: `n` is 0 and the interval of a mean is infinite, which no report can hold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from statistics import median

from salmon_core.records import Estimate

_Z = 1.959964
_RESAMPLES = 2000


def rate(successes: int, n: int) -> Estimate:
    """A proportion with its Wilson score interval."""
    if n == 0:
        return Estimate(0.0, 0.0, 1.0, 0)
    return _wilson(successes / n, n, n)


def clustered_rate(values: Mapping[str, Sequence[float]]) -> Estimate:
    """The mean of values from 0 to 1, with Wilson's interval for as many trials as the clusters are worth.

    That is p (1 - p) over the variance between clusters (prompts): their number where all of a cluster go together,
    that of the values where they do not.

    Args:
        values: by cluster.
    """
    counted = ClusteredRate()
    for cluster, own in values.items():
        for value in own:
            counted.add(cluster, value)
    return counted.estimate()


class ClusteredRate:
    """The same of values that come one by one, those of a cluster after each other; of however many it keeps sums."""

    def __init__(self) -> None:
        self._cluster: str | None = None
        self._total, self._size = 0.0, 0
        #: of the clusters before: how many there are, totals t and sizes s, and the sums of t t, t s and s s
        self._sums = [0.0] * 6

    def add(self, cluster: str, value: float) -> None:
        """One more value, from 0 to 1."""
        if cluster != self._cluster:
            self._close()
            self._cluster = cluster
        self._total, self._size = self._total + value, self._size + 1

    def estimate(self) -> Estimate:
        """Of all so far."""
        self._close()
        self._cluster = None
        n, total, count, squares, products, sizes = self._sums
        if not count:
            return Estimate(0.0, 0.0, 1.0, 0)
        p = total / count
        spread = squares - 2 * p * products + p * p * sizes
        # What is left of sums that cancel is rounding.
        variance = spread * n / (n - 1) / count**2 if n > 1 and spread > 1e-9 * squares else 0.0
        return _wilson(p, p * (1 - p) / variance if variance else n, round(n))

    def _close(self) -> None:
        if self._size:
            t, s = self._total, self._size
            self._sums = [a + b for a, b in zip(self._sums, (1, t, s, t * t, t * s, s * s), strict=True)]
            self._total, self._size = 0.0, 0


def _wilson(p: float, trials: float, n: int) -> Estimate:
    middle = (p + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials) * math.sqrt(p * (1 - p) / trials + _Z**2 / (4 * trials**2))
    return Estimate(p, max(0.0, middle - half), min(1.0, middle + half), n)


def clustered_mean(values: Mapping[str, Sequence[float]], rng: Random) -> Estimate:
    """The mean of all values, with a percentile bootstrap interval over clusters (prompts).

    Args:
        values: by cluster.
        rng: of the resampling.
    """
    return _bootstrap({key: (sum(own), len(own)) for key, own in values.items() if own}, rng)


def mean_rate(groups: Sequence[Mapping[str, Sequence[float]]], rng: Random) -> Estimate:
    """The mean over groups of the share of ones in each, resampling the clusters (prompts) of all groups together.

    Where every value is the same, resampling would see no doubt at all: then Wilson's interval for as many clusters.
    `n` is the number of clusters: what is independent.

    Args:
        groups: zeros and ones by cluster, for each group; a group with none is left out.
        rng: of the resampling.
    """
    found = [{key: (sum(own), len(own)) for key, own in group.items() if own} for group in groups]
    found = [group for group in found if group]
    clusters = sorted({key for group in found for key in group})
    if not clusters:
        return Estimate(0.0, 0.0, 1.0, 0)

    def mean(chosen: Sequence[str]) -> float:
        rates = []
        for group in found:
            own = [group[key] for key in chosen if key in group]
            if own:
                rates.append(sum(ones for ones, _ in own) / sum(count for _, count in own))
        return sum(rates) / len(rates)

    n, value = len(clusters), mean(clusters)
    if value in (0.0, 1.0):
        wilson = rate(round(value * len(clusters)), len(clusters))
        return Estimate(value, wilson.low, wilson.high, n)
    draws = sorted(mean(rng.choices(clusters, k=len(clusters))) for _ in range(_RESAMPLES))
    return Estimate(value, *_middle(draws), n=n)


def clustered_difference(
    before: Mapping[str, Sequence[float]], after: Mapping[str, Sequence[float]], rng: Random
) -> Estimate:
    """Mean after minus mean before, resampling the clusters (prompts) that both have."""
    keys = [key for key in before if before[key] and after.get(key)]
    if not keys:
        return Estimate(0.0, -math.inf, math.inf, 0)
    sums = [(sum(before[key]), len(before[key]), sum(after[key]), len(after[key])) for key in keys]

    def difference(chosen: Sequence[tuple[float, int, float, int]]) -> float:
        before_sum, before_n, after_sum, after_n = map(sum, zip(*chosen, strict=True))
        return float(after_sum / after_n - before_sum / before_n)

    draws = sorted(difference(rng.choices(sums, k=len(sums))) for _ in range(_RESAMPLES))
    return Estimate(difference(sums), *_middle(draws), n=len(keys))


#: cluster -> pairs of values
Paired = Mapping[str, Sequence[tuple[float, float]]]


def correlation(groups: Sequence[Paired]) -> Estimate:
    """Spearman's rank correlation, averaged over groups.

    Ranks, because a few large values would be all that Pearson's sees. The interval is a jackknife's (Tukey 1958): it
    leaves out one cluster (prompt) of all groups at a time and draws nothing, so it costs one pass. `n` is the number
    of clusters. A group in which one side does not vary counts as 0.

    Args:
        groups: pairs of values by cluster, for each group.
    """
    return _correlation([_ranked(group) for group in groups])


def preference_correlation(groups: Sequence[Paired]) -> Estimate:
    """The correlation of what two scores of the same pairs prefer, averaged over groups.

    A score s is log-odds: it prefers the first with probability 1 / (1 + exp(-s)), which is tanh(s / 2) in [-1, 1]
    (Bradley & Terry 1952). So pairs on which a judge says nothing weigh nothing, many though they may be, and no score
    weighs more than a sure one. Ahead of that the median of each side is taken away: what is added to all of one side,
    as a bias for a position is, changes nothing. Interval, `n` and groups as for `correlation`.

    Args:
        groups: pairs of scores by cluster, for each group.
    """
    return _correlation([_preferences(group) for group in groups])


def _correlation(groups: Sequence[Paired]) -> Estimate:
    """Pearson's, averaged over groups, with a jackknife over clusters."""
    sums = [{key: _moments(own) for key, own in group.items() if own} for group in groups]
    sums = [group for group in sums if group]
    clusters = sorted({key for group in sums for key in group})
    totals = [_added(group.values()) for group in sums]
    n = len(clusters)
    if n < 2 or all(_pearson(total) is None for total in totals):
        return Estimate(0.0, -1.0, 1.0, n)
    whole = sum(_pearson(total) or 0.0 for total in totals) / len(totals)
    without = []
    for key in clusters:
        left = [
            _pearson(tuple(a - b for a, b in zip(total, group[key], strict=True)) if key in group else total) or 0.0
            for total, group in zip(totals, sums, strict=True)
        ]
        without.append(sum(left) / len(left))
    middle = sum(without) / n
    half = _Z * math.sqrt((n - 1) / n * sum((each - middle) ** 2 for each in without))
    return Estimate(whole, max(-1.0, whole - half), min(1.0, whole + half), n)


def _ranked(group: Paired) -> dict[str, list[tuple[float, float]]]:
    """Ranks of both sides among all of the group, in place of the values; equal values share the mean of theirs."""
    across = _ranks([x for own in group.values() for x, _ in own])
    down = _ranks([y for own in group.values() for _, y in own])
    return {key: [(across[x], down[y]) for x, y in own] for key, own in group.items()}


def _preferences(group: Paired) -> dict[str, list[tuple[float, float]]]:
    pairs = [pair for own in group.values() for pair in own]
    if not pairs:
        return {}
    across, down = (median(side) for side in zip(*pairs, strict=True))
    return {
        key: [(math.tanh((x - across) / 2), math.tanh((y - down) / 2)) for x, y in own] for key, own in group.items()
    }


def _ranks(values: Sequence[float]) -> dict[float, float]:
    counts, below, found = Counter(values), 0, {}
    for value in sorted(counts):
        found[value] = below + (counts[value] + 1) / 2
        below += counts[value]
    return found


def _moments(pairs: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    return _added((1.0, x, y, x * x, y * y, x * y) for x, y in pairs)


def _added(rows: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(map(math.fsum, zip(*rows, strict=True)))


def _pearson(moments: tuple[float, ...]) -> float | None:
    """The correlation; None where a side does not vary."""
    n, x, y, xx, yy, xy = moments
    if n < 2:
        return None
    across, down = xx - x * x / n, yy - y * y / n
    if across <= 1e-9 * xx or down <= 1e-9 * yy:
        return None
    return max(-1.0, min(1.0, (xy - x * y / n) / math.sqrt(across * down)))


def _bootstrap(sums: Mapping[str, tuple[float, int]], rng: Random) -> Estimate:
    pairs = list(sums.values())
    if not pairs:
        return Estimate(0.0, -math.inf, math.inf, 0)

    def mean(chosen: Sequence[tuple[float, int]]) -> float:
        return sum(total for total, _ in chosen) / sum(count for _, count in chosen)

    draws = sorted(mean(rng.choices(pairs, k=len(pairs))) for _ in range(_RESAMPLES))
    return Estimate(mean(pairs), *_middle(draws), n=sum(count for _, count in pairs))


def _middle(draws: Sequence[float]) -> tuple[float, float]:
    cut = round(0.025 * len(draws))
    return draws[cut], draws[-1 - cut]
