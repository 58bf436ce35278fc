"""Krippendorff's alpha against his worked examples, against figures made by hand, and what has to hold of it."""

from __future__ import annotations

import itertools
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_core.kit.agreement import Metric, Unit, krippendorff_alpha, pairwise_agreement


def units_of(*raters: str, values: str) -> dict[str, list[Unit]]:
    """A cluster for each place of the raters' lines; `.` is nothing said."""
    return {
        str(place): [[values.index(each) for each in said if each != "."]]
        for place, said in enumerate(zip(*raters, strict=True))
    }


# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections A to E.
BINARY = units_of("0100000010", "1110010000", values="01")
NAMES = units_of("aabbdcccedda", "babbbcccedd" + "d", values="abcde")
FOUR = units_of("123321412...", "1233224125.3", ".3332342251.", "12332441251.", values="12345")


@pytest.mark.parametrize(
    ("units", "kinds", "metric", "published"),
    [
        (BINARY, 2, "nominal", 0.095),
        (NAMES, 5, "nominal", 0.692),
        (FOUR, 5, "nominal", 0.743),
        (FOUR, 5, "ordinal", 0.815),
    ],
)
def test_published_examples(units: dict[str, list[Unit]], kinds: int, metric: Metric, published: float) -> None:
    found = krippendorff_alpha(units, kinds, Random(1), metric)
    assert found.value == pytest.approx(published, abs=0.0006)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_the_published_counts() -> None:
    found = krippendorff_alpha(FOUR, 5, Random(1))
    assert (found.clusters, found.units, found.ratings) == (11, 11, 40)  # the twelfth unit was rated once


def by_hand(units: dict[str, list[Unit]], kinds: int, metric: Metric) -> Fraction | None:
    """By going through pairs of values within units, and among all values: no coincidence matrix."""
    rated = [unit for own in units.values() for unit in own if len(unit) > 1]
    values = [each for unit in rated for each in unit]
    counts = [values.count(rank) for rank in range(kinds)]

    def distance(a: int, b: int) -> Fraction:
        if metric == "nominal" or a == b:
            return Fraction(a != b)
        low, high = sorted((a, b))
        return (sum(counts[low : high + 1]) - Fraction(counts[low] + counts[high], 2)) ** 2

    within = sum(
        sum(distance(a, b) for a, b in itertools.permutations(unit, 2)) / Fraction(len(unit) - 1) for unit in rated
    )
    among = sum(distance(a, b) for a, b in itertools.permutations(values, 2))
    n = len(values)
    return None if not among else 1 - Fraction(within) / n / (Fraction(among) / (n * (n - 1)))


made = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=2),
    st.lists(st.lists(st.integers(0, 2), max_size=4), max_size=3),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(made, st.sampled_from(["nominal", "ordinal"]))
def test_it_is_what_pairs_by_hand_give(units: dict[str, list[Unit]], metric: Metric) -> None:
    expected, found = by_hand(units, 3, metric), krippendorff_alpha(units, 3, Random(1), metric)
    if expected is None:
        assert found.value is None
        return
    assert found.value == pytest.approx(float(expected))
    assert found.low <= found.value + 1e-9 or found.clusters < 5  # a few clusters resample to anything
    turned = {key: [tuple(reversed(unit)) for unit in own] for key, own in units.items()}
    again = krippendorff_alpha(turned, 3, Random(1), metric)
    assert again.value == pytest.approx(found.value)


def test_perfect_agreement_is_not_certain() -> None:
    """Of ten prompts Wilson's interval has 0.278 disagreement at most; by chance there are 10/19."""
    found = krippendorff_alpha({str(i): [(i % 2, i % 2)] for i in range(10)}, 2, Random(1))
    assert found.value == 1.0
    assert found.low == pytest.approx(1 - 0.27754 / (10 / 19), abs=1e-4)


def test_the_interval_covers() -> None:
    """Two raters who both see the truth through noise: alpha is known, and 95 % intervals miss it now and then."""
    rng, missed = Random(4), 0
    agree = 0.8 * 0.8 + 0.2 * 0.2
    truth = 1 - (1 - agree) / 0.5
    for _ in range(20):
        units = {}
        for prompt in range(40):
            real = int(rng.random() < 0.5)
            units[str(prompt)] = [tuple(real if rng.random() < 0.8 else 1 - real for _ in range(2))]
        found = krippendorff_alpha(units, 2, rng)
        missed += not found.low <= truth <= found.high
    assert missed <= 4


def test_prompts_count_not_ratings() -> None:
    """The same ratings twice for each prompt tell nothing more: the interval stays as wide."""
    once = {str(i): [(i % 2, (i // 2) % 2)] for i in range(40)}
    twice = {key: own * 2 for key, own in once.items()}
    one, two = (krippendorff_alpha(each, 2, Random(3)) for each in (once, twice))
    assert two.high - two.low == pytest.approx(one.high - one.low, rel=0.1)


def test_nothing_to_tell() -> None:
    assert krippendorff_alpha({}, 3, Random(1)).value is None
    assert krippendorff_alpha({"a": [(1,)]}, 3, Random(1)).value is None
    assert krippendorff_alpha({"a": [(1, 1)], "b": [(1, 1)]}, 3, Random(1)).value is None
    single = krippendorff_alpha({"a": [(0, 1), (1, 1)]}, 3, Random(1))
    assert (single.low, single.high) == (-1.0, 1.0)
    with pytest.raises(ValueError, match="between 0 and 2"):
        krippendorff_alpha({"a": [(0, 3)]}, 3, Random(1))


def test_pairs_of_raters() -> None:
    found = pairwise_agreement({"a": [(0, 0), (1, 2)], "b": [(2, 2)], "c": [(1, 1)]})
    assert (found.value, found.n) == (0.75, 3)
    assert found.low < 0.75 < found.high
