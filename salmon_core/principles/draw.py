"""Every random choice about principles. A draw depends on its seed and its names alone, never on what else is drawn.

Only `Random.random()` is used, the one method whose sequence Python keeps the same between versions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random

from salmon_core.api.principles import Principle
from salmon_core.records import Prompt, ShownPrinciple
from salmon_core.rng import named_rng


def draw_principles(
    principles: Iterable[Principle], rng: Random, *, show: int = 3, category: str = "general"
) -> tuple[Principle, ...]:
    """The principles a rollout is rewarded by: drawn by weight, without replacement, in the order drawn.

    Hard rules come first, all of them: they hold for every rollout, and none has to be drawn.

    Args:
        principles: to draw from; fewer than `show` are all drawn.
        show: how many, beside the hard rules.
        category: of the prompt; its boosts are added to the weights.
    """
    pool = list(principles)
    rest = [principle for principle in pool if not principle.veto]
    drawn = [principle for principle in pool if principle.veto]
    rules = len(drawn)
    while rest and len(drawn) - rules < show:
        weights = [principle.weight_for(category) for principle in rest]
        point = rng.random() * math.fsum(weights)
        chosen = 0
        for weight in weights[:-1]:
            point -= weight
            if point < 0:
                break
            chosen += 1
        drawn.append(rest.pop(chosen))
    return tuple(drawn)


def draw_for_policy(
    principles: Iterable[Principle], rng: Random, *, show: int = 3, category: str = "general"
) -> tuple[ShownPrinciple, ...]:
    """The same, by their own texts."""
    return tuple(each.shown() for each in draw_principles(principles, rng, show=show, category=category))


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
    draw: Callable[[Prompt, Random], tuple[ShownPrinciple, ...]],
    *,
    epochs: int,
    seed: int,
) -> Iterator[tuple[int, Prompt, tuple[ShownPrinciple, ...]]]:
    """All visits of an RL run as (row, prompt, principles drawn); row is 0, 1, ...

    Each epoch visits every prompt once, in an order of its own. Order and draws of a prompt are functions of
    (seed, epoch, prompt id), so adding, removing or reordering prompts changes neither for the others. A prompt
    listed more than once is told apart by the number of its occurrence.

    Args:
        draw: the principles of a prompt, by a generator of its own for each visit.
    """
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
            yield row, prompt, draw(prompt, named_rng(seed, "rl", epoch, *key))
            row += 1
