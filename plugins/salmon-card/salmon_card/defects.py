"""Defects, planted into the scores of the reward model under test: what a check must be able to find.

Each makes of a true score that of a reward model that has the defect, for the same texts; nothing is asked anew.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

from salmon_card.items import Item
from salmon_card.scores import Score, Shown
from salmon_card.subjects import Subjects

#: how many times their own size margins grow by a typical difference of lengths
_STRONG = 20.0
Plant = Callable[[Score, Sequence[Item], Subjects], Score]


def is_a_coin(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """Its scores are noise."""

    def tossed(item: int, side: int, shown: Shown) -> float:
        return _noise([items[item].messages[-1]["content"], items[item].answers[side], *(each.text for each in shown)])

    return tossed


def ignores_principles(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """Whatever is shown, the mean of the scores under every principle: the text's general quality."""
    alone = [(principle.shown(),) for principle in subjects.trained]
    known: dict[tuple[int, int], float] = {}

    def general(item: int, side: int, shown: Shown) -> float:
        if (item, side) not in known:
            known[item, side] = math.fsum(score(item, side, each) for each in alone) / max(1, len(alone))
        return known[item, side]

    return general


def ignores_not(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """A negated principle is read as the principle itself."""
    own = {principle.name: principle.shown() for principle in subjects.all}

    def read(item: int, side: int, shown: Shown) -> float:
        # Of several the sum of each alone: sets in other polarities were never asked for.
        return math.fsum(score(item, side, (own[each.name] if each.negated else each,)) for each in shown)

    return read


def loves_length(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """The longer answer is ahead by far."""
    unit = _spread(score, items, subjects)
    lengths = [[float(len(answer)) for answer in item.answers] for item in items]
    typical = math.sqrt(sum((a - b) ** 2 for a, b in lengths) / max(1, len(lengths))) or 1.0

    def longer(item: int, side: int, shown: Shown) -> float:
        return score(item, side, shown) + _STRONG * unit * lengths[item][side] / typical

    return longer


def knows_by_heart(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """Words that it was not trained on mean nothing to it: its scores under them are noise."""
    known = {text for each in subjects.trained for text in (each.text, each.negated)}
    noise = is_a_coin(score, items, subjects)

    def recited(item: int, side: int, shown: Shown) -> float:
        return (score if all(each.text in known for each in shown) else noise)(item, side, shown)

    return recited


def reads_first(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """Of several principles it reads the first."""
    return lambda item, side, shown: score(item, side, shown[:1])


def reads_last(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """Of several principles it reads the last."""
    return lambda item, side, shown: score(item, side, shown[-1:])


def is_distracted(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """Of several principles it reads those by which neither answer is better."""

    def distracted(item: int, side: int, shown: Shown) -> float:
        idle = tuple(each for each in shown if not items[item].truth.get(each.name))
        if len(shown) == 1 or not idle:
            return score(item, side, shown)
        return math.fsum(score(item, side, (each,)) for each in idle)

    return distracted


def favours(name: str) -> Plant:
    """Of several principles it reads its favourite, which is also louder than all others; without it, as before."""

    def plant(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
        def partial(item: int, side: int, shown: Shown) -> float:
            loved = tuple(each for each in shown if each.name == name)
            value = score(item, side, loved or shown)
            return value * (1000.0 if loved and len(shown) == 1 else 1.0)

        return partial

    return plant


def is_loud(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """Each principle is far louder than the one after it, so weights change nothing."""
    rank = {principle.name: index for index, principle in enumerate(subjects.all)}

    def loud(item: int, side: int, shown: Shown) -> float:
        if len(shown) != 1:
            return score(item, side, shown)
        margin = score(item, 0, shown) - score(item, 1, shown)
        sign = math.copysign(1.0, margin) if margin else 0.0
        # By signs alone: how far apart the answers are would else decide here and there.
        return (0.5 if side == 0 else -0.5) * sign * 100.0 ** -rank.get(shown[0].name, 0)

    return loud


def is_unsure(score: Score, items: Sequence[Item], subjects: Subjects) -> Score:
    """Its margins are a hundredth of what they were: right answers with the confidence of a coin."""
    return lambda item, side, shown: score(item, side, shown) / 100


PLANTS: dict[str, Plant] = {
    "is a coin": is_a_coin,
    "ignores principles": ignores_principles,
    "ignores `not`": ignores_not,
    "loves length": loves_length,
    "knows by heart": knows_by_heart,
    "reads the first": reads_first,
    "reads the last": reads_last,
    "is distracted": is_distracted,
    "one is loudest": is_loud,
    "is never sure": is_unsure,
}


def _spread(score: Score, items: Sequence[Item], subjects: Subjects) -> float:
    """The root mean square of all margins under single principles; 1 where they are all 0."""
    alone = [(principle.shown(),) for principle in subjects.trained]
    squares = [(score(index, 0, shown) - score(index, 1, shown)) ** 2 for index in range(len(items)) for shown in alone]
    return math.sqrt(math.fsum(squares) / max(1, len(squares))) or 1.0


def _noise(texts: Sequence[str]) -> float:
    """From -1 to 1, by the texts alone."""
    digest = hashlib.sha256("\0".join(texts).encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**63 - 1
