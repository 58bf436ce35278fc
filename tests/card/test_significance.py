"""Significance against cases that are known otherwise."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_core.kit.significance import (
    benjamini_hochberg,
    clustered,
    difference_p,
    equivalence_p,
    minimum_detectable,
)

PS = st.lists(st.floats(0, 1), max_size=30)


@given(PS)
def test_q_is_the_definition(ps: list[float]) -> None:
    """q of a p is the smallest m p_j / rank_j over all p_j at least as large (Benjamini and Hochberg 1995)."""
    m, ordered = len(ps), sorted(ps)
    expected = [min(min(1.0, ordered[j] * m / (j + 1)) for j in range(m) if ordered[j] >= p) for p in ps]
    assert benjamini_hochberg(ps) == pytest.approx(expected)


@given(PS, st.floats(0.001, 0.5))
def test_rejecting_by_q_is_the_step_up_procedure(ps: list[float], level: float) -> None:
    ordered, m = sorted(ps), len(ps)
    passing = [p for rank, p in enumerate(ordered, 1) if p * m / rank <= level]
    threshold = max(passing, default=-1.0)
    assert [q <= level for q in benjamini_hochberg(ps)] == [p <= threshold for p in ps]


def test_a_published_example() -> None:
    """The fifteen p-values of Benjamini and Hochberg's paper: four are found at 0.05."""
    ps = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459]
    ps += [0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert sum(q <= 0.05 for q in benjamini_hochberg(ps)) == 4


def test_p_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        benjamini_hochberg([0.5, 1.2])


def test_detectable_effects_of_textbooks() -> None:
    """A share of a half: 196 trials find a difference of 0.1 at p = 0.05 with power 0.8, 783 one of 0.05."""
    for trials, effect in ((196, 0.1), (784, 0.05)):
        error = math.sqrt(0.25 / trials)
        assert minimum_detectable(error) == pytest.approx(effect, abs=2e-4)
    assert minimum_detectable(1.0, power=0.5) == pytest.approx(1.95996, abs=1e-4)
    with pytest.raises(ValueError, match="power"):
        minimum_detectable(1.0, power=1.0)


def test_what_is_detectable_is_found_four_times_in_five() -> None:
    """Simulated: a share that is off by the detectable effect is told from a half with a probability of 0.8."""
    rng, trials = Random(3), 200
    error = math.sqrt(0.25 / trials)
    rate = 0.5 + minimum_detectable(error)
    found = 0
    for _ in range(1000):
        share = sum(rng.random() < rate for _ in range(trials)) / trials
        found += difference_p(share, error, 0.5) <= 0.05
    assert 760 <= found <= 850


def test_clusters_count_once() -> None:
    """Ten values that are all alike in each of thirty clusters are worth thirty; independent ones three hundred."""
    rng = Random(1)
    alike = {str(i): [float(rng.random() < 0.5)] * 10 for i in range(30)}
    apart = {str(i): [float(rng.random() < 0.5) for _ in range(10)] for i in range(30)}
    assert clustered(alike).trials == pytest.approx(30, rel=0.1)
    assert clustered(apart).trials == pytest.approx(300, rel=0.5)
    assert clustered({"a": [1.0] * 50, "b": [1.0] * 50}).trials == 2


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_clusters_of_one_are_the_usual_error(values: list[float]) -> None:
    found = clustered({str(index): [value] for index, value in enumerate(values)})
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    assert found.mean == pytest.approx(mean)
    assert found.error == pytest.approx(math.sqrt(variance / len(values)), abs=1e-12)
    assert 0 < found.trials <= len(values)


def test_nothing_is_no_evidence() -> None:
    assert difference_p(0.9, math.inf, 0.5) == 1.0
    assert equivalence_p(0.5, math.inf, 0.5, 0.2) == 1.0
    assert math.isinf(clustered({}).error_at(0.5))


@given(st.floats(-1, 1), st.floats(0.001, 1), st.floats(0.01, 1))
def test_equivalence_is_the_larger_of_two_one_sided_tests(value: float, error: float, band: float) -> None:
    def above(z: float) -> float:
        return math.erfc(z / math.sqrt(2)) / 2

    expected = max(above((value + band) / error), above((band - value) / error))
    assert equivalence_p(value, error, 0.0, band) == pytest.approx(expected, abs=1e-9)
    assert difference_p(value, error, 0.0) == pytest.approx(2 * above(abs(value) / error), abs=1e-9)
