"""How far raters say the same: Krippendorff's alpha, and pairs of raters, with intervals over clusters (prompts).

Krippendorff, Content Analysis (4th ed. 2018), chapter 12; his "Computing Krippendorff's Alpha-Reliability" (2011) has
the worked examples that the tests repeat.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from typing import Literal

from salmon_core.kit.statistics import clustered_rate, rate
from salmon_core.records import Estimate

Metric = Literal["nominal", "ordinal"]
#: what several raters said of one thing, by rank (0, 1, ...); who said nothing is not there
Unit = Sequence[int]
#: times that two said a and b of one thing, each thing's pairs weighed to its number of ratings; in both orders
_Coincidences = tuple[float, ...]
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Alpha:
    """Agreement beyond chance.

    Attributes:
        value: 1: all agree; 0: as often as by chance; below: less often. None where nothing can be told: nothing was
            rated twice, or all ratings are the same.
        low: and `high`: of the 95 % interval.
        clusters: with something that was rated twice or more often.
        units: of these, `ratings` of them.
    """

    value: float | None
    low: float
    high: float
    clusters: int
    units: int
    ratings: int


def krippendorff_alpha(
    units: Mapping[str, Sequence[Unit]], kinds: int, rng: Random, metric: Metric = "nominal"
) -> Alpha:
    """Alpha, with a percentile bootstrap interval over clusters.

    Resamples in which all ratings are the same tell nothing and are left out. Where nobody ever disagrees, resampling
    would see no doubt at all: then the lower end is alpha for as much disagreement as Wilson's interval allows in as
    many clusters.

    Args:
        units: by cluster; those with fewer than two ratings are left out.
        kinds: how many ranks there are.
        rng: of the resampling.
        metric: `ordinal`: ranks that lie further apart disagree more.

    Raises:
        ValueError: a rank outside of 0 to `kinds` - 1.
    """
    rated = {key: [tuple(unit) for unit in own if len(unit) > 1] for key, own in units.items()}
    rated = {key: own for key, own in rated.items() if own}
    every = [unit for own in rated.values() for unit in own]
    if any(not 0 <= each < kinds for unit in every for each in unit):
        raise ValueError(f"ranks have to lie between 0 and {kinds - 1}")
    sums = [_coincidences(own, kinds) for own in rated.values()]
    counts = (len(rated), len(every), sum(map(len, every)))
    value = _alpha(_added(sums), kinds, metric)
    if value is None:
        return Alpha(None, -1.0, 1.0, *counts)
    if len(rated) == 1:
        return Alpha(value, -1.0, 1.0, *counts)
    if value == 1.0:
        most = rate(0, len(rated)).high
        return Alpha(1.0, max(-1.0, 1.0 - most / _chance(_added(sums), kinds, metric)), 1.0, *counts)
    # Many clusters are alike: these are drawn as often as there are of them, and added up by how often they came.
    alike = Counter(sums)
    different, weights = list(alike), list(alike.values())
    draws = []
    for _ in range(_RESAMPLES):
        chosen = Counter(rng.choices(range(len(different)), weights, k=len(sums)))
        drawn = _added([tuple(times * each for each in different[place]) for place, times in sorted(chosen.items())])
        if (again := _alpha(drawn, kinds, metric)) is not None:
            draws.append(again)
    draws.sort()
    if not draws:
        return Alpha(value, -1.0, 1.0, *counts)
    cut = round(0.025 * len(draws))
    return Alpha(value, draws[cut], draws[-1 - cut], *counts)


def pairwise_agreement(pairs: Mapping[str, Sequence[tuple[int, int]]]) -> Estimate:
    """How often two raters say the same, with an interval over clusters; `n` is what both rated.

    Args:
        pairs: by cluster, what the one and what the other said.
    """
    return clustered_rate({key: [float(one == other) for one, other in own] for key, own in pairs.items()})


def _coincidences(units: Sequence[Unit], kinds: int) -> _Coincidences:
    found = [0.0] * (kinds * kinds)
    for unit in units:
        for one, other in combinations(unit, 2):
            found[one * kinds + other] += 1 / (len(unit) - 1)
            found[other * kinds + one] += 1 / (len(unit) - 1)
    return tuple(found)


def _added(rows: Sequence[_Coincidences]) -> _Coincidences:
    return tuple(map(math.fsum, zip(*rows, strict=True)))


def _alpha(coincidences: _Coincidences, kinds: int, metric: Metric) -> float | None:
    """1 - observed over expected disagreement; None where none is to be expected."""
    if not coincidences:
        return None
    totals, n = _totals(coincidences, kinds)
    distances = _distances(totals, metric)
    ordered = list(combinations(range(kinds), 2))
    observed = math.fsum(coincidences[one * kinds + other] * distances[one, other] for one, other in ordered)
    expected = math.fsum(totals[one] * totals[other] * distances[one, other] for one, other in ordered)
    return 1 - (n - 1) * observed / expected if expected > 0 else None


def _chance(coincidences: _Coincidences, kinds: int, metric: Metric) -> float:
    """Disagreement that is to be expected, as a share of the largest between two ratings that were given."""
    totals, n = _totals(coincidences, kinds)
    distances = {pair: each for pair, each in _distances(totals, metric).items() if totals[pair[0]] and totals[pair[1]]}
    expected = math.fsum(2 * totals[one] * totals[other] * each for (one, other), each in distances.items())
    return expected / (n * (n - 1)) / max(distances.values())


def _totals(coincidences: _Coincidences, kinds: int) -> tuple[list[float], float]:
    totals = [math.fsum(coincidences[rank * kinds : (rank + 1) * kinds]) for rank in range(kinds)]
    return totals, math.fsum(totals)


def _distances(totals: Sequence[float], metric: Metric) -> dict[tuple[int, int], float]:
    """Squared, of each two ranks; ordinal ones count the ratings between them."""
    found = {}
    for one, other in combinations(range(len(totals)), 2):
        between = math.fsum(totals[one : other + 1]) - (totals[one] + totals[other]) / 2
        found[one, other] = between**2 if metric == "ordinal" else 1.0
    return found
