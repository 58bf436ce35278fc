"""Which principles a training example of the reward model shows.

Only `Random.random()` is used, the one method whose sequence Python keeps the same between versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from salmon_core.api import Principle
from salmon_core.records import ShownPrinciple
from salmon_core.rng import shuffled, truncated_geometric


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
