"""Draws follow their distributions and depend on nothing but their seeds."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from random import Random

import pytest
from chi_square import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_core.api import Principle
from salmon_core.principles.draw import draw_for_policy, with_interventions
from salmon_core.records import ShownPrinciple
from salmon_core.rng import named_rng, shuffled, truncated_geometric

FOUR = [Principle(name, f"{name}.", f"not {name}.", weight) for name, weight in zip("abcd", (1, 2, 3, 4), strict=True)]


def test_the_yardstick_itself() -> None:
    rng = Random(0)
    even = dict.fromkeys(range(6), 1 / 6)
    assert fits(Counter(int(rng.random() * 6) for _ in range(6000)), even)
    assert not fits(Counter(int(rng.random() ** 1.2 * 6) for _ in range(6000)), even)


def test_named_rng_is_the_same_everywhere() -> None:
    """Known values: a change of these changes every run."""
    assert named_rng(7, "rl", 0, "p1").random() == 0.20391517430795736
    assert named_rng(7, "rl", 0, "p1").random() == named_rng(7, "rl", 0, "p1").random()


@given(
    st.integers(), st.lists(st.text() | st.integers(), max_size=3), st.integers(), st.lists(st.text() | st.integers())
)
def test_named_rng_tells_names_apart(seed: int, names: list[str | int], seed2: int, names2: list[str | int]) -> None:
    same = (seed, names) == (seed2, names2)
    assert (named_rng(seed, *names).random() == named_rng(seed2, *names2).random()) == same


def test_named_rng_tells_joined_names_and_types_apart() -> None:
    keys = [("a", "bc"), ("ab", "c"), ("abc",), ("1",), (1,), ('a","bc',)]
    assert len({named_rng(0, *key).random() for key in keys}) == len(keys)


def test_shuffle_is_even() -> None:
    rng = named_rng(1, "shuffle")
    counts = Counter(tuple(shuffled("abcd", rng)) for _ in range(12_000))
    assert fits(counts, dict.fromkeys(itertools.permutations("abcd"), 1 / 24))


def redrawn(rng: Random, p: float, cap: int) -> int:
    """The definition, step by step: coins until the first success, all over again if that took more than `cap`."""
    while True:
        count = 1
        while rng.random() >= p:
            count += 1
        if count <= cap:
            return count


@pytest.mark.parametrize(("p", "cap"), [(0.2, 8), (0.5, 3), (0.05, 5), (0.9, 4)])
def test_geometric_is_that_of_redrawing(p: float, cap: int) -> None:
    exact = {k: p * (1 - p) ** (k - 1) / (1 - (1 - p) ** cap) for k in range(1, cap + 1)}
    for draw, name in ((truncated_geometric, "closed form"), (redrawn, "redrawing")):
        rng = named_rng(2, name)
        assert fits(Counter(draw(rng, p, cap) for _ in range(20_000)), exact)


class _Fixed(Random):
    """A generator stuck at one value, for the borders."""

    def __init__(self, value: float):
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@given(
    st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 1 - 2**-53]),
    st.floats(1e-12, 1),
    st.integers(1, 10_000),
)
def test_geometric_stays_in_range(uniform: float, p: float, cap: int) -> None:
    assert 1 <= truncated_geometric(_Fixed(uniform), p, cap) <= cap


@given(st.floats(0.01, 0.99), st.integers(2, 30), st.data())
def test_geometric_inverts_its_distribution(p: float, cap: int, data: st.DataObject) -> None:
    """k is drawn exactly where the uniform lies between P(< k) and P(<= k)."""
    k = data.draw(st.integers(1, cap))
    low, high = (-math.expm1(n * math.log1p(-p)) / -math.expm1(cap * math.log1p(-p)) for n in (k - 1, k))
    if high - low > 1e-9:
        assert truncated_geometric(_Fixed((low + high) / 2), p, cap) == k


def test_geometric_refuses_nonsense() -> None:
    for p, cap in ((0.0, 3), (1.1, 3), (math.nan, 3), (0.5, 0)):
        with pytest.raises(ValueError, match="truncated geometric"):
            truncated_geometric(Random(0), p, cap)
    assert truncated_geometric(Random(0), 1.0, 5) == 1


def test_nothing_to_draw_from() -> None:
    assert draw_for_policy([], Random(0)) == ()


def ordered_probability(order: tuple[str, ...], weights: Mapping[str, float]) -> float:
    """Of drawing exactly this order by weight, without replacement."""
    rest, p = dict(weights), 1.0
    for name in order:
        p *= rest[name] / sum(rest.values())
        del rest[name]
    return p


@pytest.mark.parametrize("category", ["general", "reasoning"])
def test_policy_draws_are_by_weight_without_replacement(category: str) -> None:
    principles = [*FOUR[:3], Principle("d", "d.", weight=4.0, categories={"reasoning": 8.0})]
    weights = {p.name: p.weight_for(category) for p in principles}
    rng = named_rng(4, category)
    draws = [draw_for_policy(principles, rng, show=3, category=category) for _ in range(20_000)]
    counts = Counter(tuple(each.name for each in draw) for draw in draws)
    exact = {order: ordered_probability(order, weights) for order in itertools.permutations("abcd", 3)}
    assert fits(counts, exact)


def test_boost_of_128_shows_both_reasoning_principles_almost_always() -> None:
    """14 principles of weight 27 in all, two of them boosted by 128: both are among three with probability 0.96."""
    from salmon_core.principles.files import load_principle_set

    principles, rng = load_principle_set("salmon-rl"), named_rng(5)
    draws = [draw_for_policy(principles, rng, category="reasoning") for _ in range(4000)]
    both = sum({"consistent-reasoning", "numerical-sensitive"} <= {each.name for each in draw} for draw in draws) / 4000
    assert abs(both - 0.96) < 0.015


@given(st.integers(), st.integers(0, 8), st.lists(st.floats(1e-12, 1e12), max_size=6))
def test_policy_draws_keep_their_promises(seed: int, show: int, weights: list[float]) -> None:
    principles = [Principle(f"p{i}", "t", "n", weight) for i, weight in enumerate(weights)]
    drawn = draw_for_policy(principles, Random(seed), show=show)
    assert drawn == draw_for_policy(principles, Random(seed), show=show)
    assert len(drawn) == min(show, len(weights))
    assert len({each.name for each in drawn}) == len(drawn)
    assert not any(each.negated for each in drawn)


@given(st.floats(0, 1, exclude_max=True) | st.just(1 - 2**-53))
def test_policy_draws_at_the_borders(uniform: float) -> None:
    drawn = draw_for_policy(FOUR, _Fixed(uniform), show=4)
    assert sorted(each.name for each in drawn) == list("abcd")


SHOWN = st.builds(ShownPrinciple, st.sampled_from("abcdef"), st.text(max_size=3), st.booleans())


@settings(max_examples=200)
@given(st.lists(SHOWN, max_size=4), st.lists(SHOWN, max_size=4))
def test_interventions_come_first_and_once(drawn: list[ShownPrinciple], force: list[ShownPrinciple]) -> None:
    result = with_interventions(drawn, force)
    names = [each.name for each in result]
    assert len(set(names)) == len(names)
    assert set(names) == {each.name for each in (*drawn, *force)}
    forced = list(dict.fromkeys(each.name for each in force))
    assert names[: len(forced)] == forced
    assert names[len(forced) :] == list(dict.fromkeys(e.name for e in drawn if e.name not in forced))
    for each in result:
        assert each is next(e for e in (*force, *drawn) if e.name == each.name)
