"""Which principles a training example of the reward model shows."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random

import pytest
from chi_square import fits
from hypothesis import given
from hypothesis import strategies as st

from salmon_core.api import Principle
from salmon_core.rng import named_rng
from salmon_judge.draw import draw_for_reward_model

FOUR = [Principle(name, f"{name}.", f"not {name}.", weight) for name, weight in zip("abcd", (1, 2, 3, 4), strict=True)]


def test_reward_model_draws_follow_the_paper() -> None:
    rng = named_rng(3, "rm")
    draws = [draw_for_reward_model(FOUR, rng, p=0.2, cap=8) for _ in range(12_000)]
    below = 1 - 0.8**4
    assert fits(Counter(map(len, draws)), {k: 0.2 * 0.8 ** (k - 1) / below for k in range(1, 5)})
    # Each principle and each polarity is as likely at the first place; weights do not matter.
    first = Counter((draw[0].name, draw[0].negated) for draw in draws)
    assert fits(first, {(name, negated): 1 / 8 for name in "abcd" for negated in (False, True)})
    pairs = Counter(tuple(each.negated for each in draw) for draw in draws if len(draw) == 2)
    assert fits(pairs, dict.fromkeys(itertools.product((False, True), repeat=2), 1 / 4))


@given(
    st.integers(),
    st.floats(0.01, 1),
    st.integers(1, 12),
    st.floats(0, 1),
    st.lists(st.booleans(), min_size=1, max_size=9),
)
def test_reward_model_draws_keep_their_promises(
    seed: int, p: float, cap: int, negate: float, negatable: list[bool]
) -> None:
    principles = [Principle(f"p{i}", f"text {i}", f"opposite {i}" if can else None) for i, can in enumerate(negatable)]
    drawn = draw_for_reward_model(principles, Random(seed), p=p, cap=cap, negate=negate)
    assert drawn == draw_for_reward_model(principles, Random(seed), p=p, cap=cap, negate=negate)
    assert 1 <= len(drawn) <= min(cap, len(principles))
    assert len({each.name for each in drawn}) == len(drawn)
    for each in drawn:
        principle = principles[int(each.name[1:])]
        assert each == principle.shown(negated=each.negated)
        assert not (each.negated and negate == 0)
        assert each.negated or negate < 1 or principle.negated is None


def test_negation_changes_nothing_else() -> None:
    for seed in range(50):
        plain, turned = (draw_for_reward_model(FOUR, Random(seed), negate=negate) for negate in (0.0, 1.0))
        assert [each.name for each in plain] == [each.name for each in turned]
        assert all(each.negated for each in turned)


def test_nothing_to_draw_from() -> None:
    with pytest.raises(ValueError, match="no principles"):
        draw_for_reward_model([], Random(0))
