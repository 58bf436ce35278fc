"""Unrolled epochs: every prompt once in each, and nothing of it depends on the other prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_core.api import Principle
from salmon_core.principles.draw import draw_for_policy, unroll
from salmon_core.principles.files import load_principle_set
from salmon_core.records import Prompt, ShownPrinciple

RL = load_principle_set("salmon-rl")
PROMPTS = [Prompt.from_text(f"question {i}", id=f"q{i}", category=("general", "reasoning")[i % 2]) for i in range(40)]


def visits_of(
    prompts: list[Prompt], principles: list[Principle], *, epochs: int, show: int, seed: int
) -> Iterator[tuple[int, Prompt, tuple[ShownPrinciple, ...]]]:
    def draw(prompt: Prompt, rng: Random) -> tuple[ShownPrinciple, ...]:
        return draw_for_policy(principles, rng, show=show, category=prompt.category)

    return unroll(prompts, draw, epochs=epochs, seed=seed)


def test_rows_epochs_and_seeds() -> None:
    visits = list(visits_of(PROMPTS, RL, epochs=3, show=3, seed=7))
    assert [row for row, _, _ in visits] == list(range(120))
    orders = [[prompt.id for _, prompt, _ in visits[start : start + 40]] for start in (0, 40, 80)]
    assert all(Counter(order) == Counter(prompt.id for prompt in PROMPTS) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert all(len(shown) == 3 for _, _, shown in visits)
    assert visits == list(visits_of(PROMPTS, RL, epochs=3, show=3, seed=7))
    assert visits != list(visits_of(PROMPTS, RL, epochs=3, show=3, seed=8))
    first = {prompt.id: shown for _, prompt, shown in visits[:40]}
    second = {prompt.id: shown for _, prompt, shown in visits[40:80]}
    assert sum(first[name] != second[name] for name in first) > 20


def test_more_epochs_only_add_rows() -> None:
    assert (
        list(visits_of(PROMPTS, RL, epochs=2, show=3, seed=7))
        == list(visits_of(PROMPTS, RL, epochs=5, show=3, seed=7))[:80]
    )


def test_category_boosts() -> None:
    """Of weight 283, two principles have 129 each."""
    visits = [visit for visit in visits_of(PROMPTS, RL, epochs=40, show=2, seed=1) if visit[1].category == "reasoning"]
    boosted = {"consistent-reasoning", "numerical-sensitive"}
    share = sum({each.name for each in shown} == boosted for _, _, shown in visits) / len(visits)
    exact = 258 / 283 * 129 / 154
    assert abs(share - exact) < 4 * (exact * (1 - exact) / len(visits)) ** 0.5


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 39), min_size=1), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_other_prompts_do_not_matter(chosen: set[int], seed: int, rng: Random) -> None:
    """Some of the prompts, in any order: their draws and their order among themselves stay."""
    some = [PROMPTS[i] for i in chosen]
    rng.shuffle(some)
    ids = {prompt.id for prompt in some}
    whole = [(p.id, shown) for _, p, shown in visits_of(PROMPTS, RL, epochs=2, show=3, seed=seed) if p.id in ids]
    part = [(p.id, shown) for _, p, shown in visits_of(some, RL, epochs=2, show=3, seed=seed)]
    assert whole == part


def test_a_prompt_listed_twice_is_drawn_for_twice() -> None:
    visits = list(visits_of([PROMPTS[0]] * 2, RL, epochs=20, show=3, seed=3))
    assert len(visits) == 40
    assert sum(visits[i][2] != visits[i + 1][2] for i in range(0, 40, 2)) > 10


def test_every_place_in_the_order_is_as_likely() -> None:
    places = Counter(
        next(row for row, prompt, _ in visits_of(PROMPTS[:4], [], epochs=1, show=0, seed=seed) if prompt.id == "q0")
        for seed in range(2000)
    )
    assert all(abs(places[place] - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5 for place in range(4))
