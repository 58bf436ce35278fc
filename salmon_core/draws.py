"""Every random choice about principles. A draw depends on its seed and its names alone, never on what else is drawn.

Only `Random.random()` is used, the one method whose sequence Python keeps the same between versions.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import TypeVar

from salmon_core.principles import Principle
from salmon_core.records import Prompt, ShownPrinciple

T = TypeVar("T")


def named_rng(seed: int, *names: str | int) -> Random:
    """A generator of its own for each (seed, names); other names give an unrelated one."""
    # JSON, so that ("a", "bc") and ("ab", "c") differ, and so do 1 and "1".
    key = json.dumps([seed, *names], ensure_ascii=True).encode()
    return Random(int.from_bytes(hashlib.sha256(key).digest(), "big"))


def shuffled(items: Iterable[T], rng: Random) -> list[T]:
    """The items in random order, every order equally likely."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order


def truncated_geometric(rng: Random, p: float, cap: int) -> int:
    """A number from 1 to `cap`: geometric with success probability `p`, redrawn until it is at most `cap`.

    Closed form of the redrawing: one draw, P(k) = p (1 - p)^(k - 1) / (1 - (1 - p)^cap).

    Raises:
        ValueError: not 0 < p <= 1, or cap < 1.
    """
    if not 0 < p <= 1 or cap < 1:
        raise ValueError(f"a truncated geometric needs 0 < p <= 1 and cap >= 1, not p = {p}, cap = {cap}")
    uniform = rng.random()
    if p == 1:
        return 1
    log_fail = math.log1p(-p)
    below = -math.expm1(cap * log_fail)  # the untruncated probability of at most `cap`
    return min(cap, max(1, math.ceil(math.log1p(-uniform * below) / log_fail)))


def draw_for_reward_model(
    principles: Iterable[Principle], rng: Random, *, p: float = 0.2, cap: int = 8, negate: float = 0.5
) -> tuple[ShownPrinciple, ...]:
    """The principles of one training example of the reward model (arXiv 2310.05910, 3.2).

    Shuffled, their number from a geometric distribution, each negated on its own; weights play no part.

    Args:
        principles: to draw from, at least one.
        p: of the geometric distribution of their number.
        cap: the most principles drawn (or all there are, where that is less).
        negate: probability of showing the negated text, for principles that have one.

    Raises:
        ValueError: no principles, or `p` or `cap` out of range.
    """
    order = shuffled(principles, rng)
    if not order:
        raise ValueError("no principles to draw from")
    count = truncated_geometric(rng, p, min(cap, len(order)))
    return tuple(each.shown(negated=each.negated is not None and rng.random() < negate) for each in order[:count])


def draw_for_policy(
    principles: Iterable[Principle], rng: Random, *, show: int = 3, category: str = "general"
) -> tuple[ShownPrinciple, ...]:
    """The principles a rollout is rewarded by: drawn by weight, without replacement, in the order drawn.

    Args:
        principles: to draw from; fewer than `show` are all drawn.
        show: how many.
        category: of the prompt; its boosts are added to the weights.
    """
    rest = list(principles)
    drawn: list[ShownPrinciple] = []
    while rest and len(drawn) < show:
        weights = [principle.weight_for(category) for principle in rest]
        point = rng.random() * math.fsum(weights)
        chosen = 0
        for weight in weights[:-1]:
            point -= weight
            if point < 0:
                break
            chosen += 1
        drawn.append(rest.pop(chosen).shown())
    return tuple(drawn)


def with_interventions(
    drawn: Sequence[ShownPrinciple], interventions_in_force: Sequence[ShownPrinciple]
) -> tuple[ShownPrinciple, ...]:
    """Interventions first, then the drawn ones; of several with one name the first stays."""
    shown: dict[str, ShownPrinciple] = {}
    for each in (*interventions_in_force, *drawn):
        shown.setdefault(each.name, each)
    return tuple(shown.values())


def unroll(
    prompts: Sequence[Prompt],
    principles: Sequence[Principle] | Iterable[Principle],
    *,
    epochs: int,
    show: int,
    seed: int,
) -> Iterator[tuple[int, Prompt, tuple[ShownPrinciple, ...]]]:
    """All visits of an RL run as (row, prompt, principles drawn); row is 0, 1, ...

    Each epoch visits every prompt once, in an order of its own. Order and draws of a prompt are functions of
    (seed, epoch, prompt id), so adding, removing or reordering prompts changes neither for the others. A prompt
    listed more than once is told apart by the number of its occurrence.
    """
    pool = tuple(principles)
    seen: Counter[str] = Counter()
    visits: list[tuple[Prompt, tuple[str | int, ...]]] = []
    for prompt in prompts:
        repeat = seen[prompt.id]
        visits.append((prompt, (prompt.id, repeat) if repeat else (prompt.id,)))
        seen[prompt.id] += 1
    row = 0
    for epoch in range(epochs):
        # Sorting by a random key per prompt is a shuffle that does not depend on the other prompts.
        for prompt, key in sorted(visits, key=lambda visit: named_rng(seed, "rl-order", epoch, *visit[1]).random()):
            rng = named_rng(seed, "rl", epoch, *key)
            yield row, prompt, draw_for_policy(pool, rng, show=show, category=prompt.category)
            row += 1
