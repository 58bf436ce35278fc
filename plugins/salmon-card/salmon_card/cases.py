"""The cases of each check: which item, under which sets of principles, and what the scores then say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random

from salmon_card.items import Item
from salmon_card.scores import Shown, View
from salmon_card.subjects import NEUTRAL, Subjects
from salmon_core.api import Principle
from salmon_core.records import ShownPrinciple
from salmon_core.rng import named_rng, shuffled

ALL = "all"
#: weights of the heavier of two principles, the other's being 1
WEIGHTS = (2, 4)
#: a difference of lengths that counts, as a share of the longer answer
_APART = 0.1
#: irrelevant principles beside a deciding one
_BESIDE = 2


@dataclass(frozen=True)
class Case:
    """One question.

    Attributes:
        about: the figures that it counts for, as (name, value of the figure from this case's value).
        sets: that it needs scores under.
        value: of the figure; None where the case does not arise.
        kept: whether the preference stayed what it is under the principle alone; None where that is not asked.
    """

    item: int
    about: tuple[str, ...]
    sets: tuple[Shown, ...]
    value: Callable[[View], float | None]
    kept: Callable[[View], float] | None = None


def cases_of(items: Sequence[Item], subjects: Subjects, *, seed: int, most: int, largest: int) -> dict[str, list[Case]]:
    """By check.

    Args:
        most: cases for each figure.
        largest: set of principles.
    """
    made = _Cases(items, subjects, seed, most)
    return {
        "accuracy": list(made.alone(subjects.trained, negated=False)),
        "negated": list(made.alone(subjects.trained, negated=True)),
        "negation": list(made.turns()),
        "control": list(made.control()),
        "paraphrase": list(made.reworded()),
        "unseen": list(made.alone(subjects.unseen, negated=False)),
        **made.beside(),
        "sets": list(made.sets(largest)),
        **made.conflicts(),
        "weights": list(made.weighted()),
        "brief": list(made.brief()),
        "longer": list(made.longer()),
        "calibration": list(made.confident()),
    }


def singles(subjects: Subjects) -> list[Shown]:
    """Every principle alone, in both polarities: what defects are made of."""
    found: list[Shown] = []
    for principle in subjects.all:
        found += [(principle.shown(negated=negated),) for negated in _polarities(principle)]
    return [*found, *((each,) for each in NEUTRAL)]


def right(margin: float, first: bool) -> float:
    """1 if the better answer is ahead, a half where none is."""
    return 0.5 if margin == 0 else float((margin > 0) == first)


class _Cases:
    def __init__(self, items: Sequence[Item], subjects: Subjects, seed: int, most: int):
        self.items, self.subjects, self.seed, self.most = items, subjects, seed, most

    def rng(self, *names: str | int) -> Random:
        return named_rng(self.seed, "card", *names)

    def some(self, indices: Sequence[int], *names: str | int) -> list[int]:
        """At most so many, by chance."""
        return sorted(shuffled(indices, self.rng(*names))[: self.most])

    def deciding(self, principle: Principle, *names: str | int) -> Iterator[tuple[int, bool]]:
        """Items by which one answer is better: (index, whether it is the first)."""
        known = [index for index, item in enumerate(self.items) if item.truth.get(principle.name)]
        for index in self.some(known, principle.name, *names):
            yield index, self.items[index].truth[principle.name] > 0

    def alone(self, principles: Sequence[Principle], *, negated: bool) -> Iterator[Case]:
        for principle in principles:
            if negated and principle.negated is None:
                continue
            shown = (principle.shown(negated=negated),)
            for index, first in self.deciding(principle, "alone"):
                yield _right(index, (ALL, principle.name), shown, first != negated)

    def turns(self) -> Iterator[Case]:
        for principle in self.subjects.trained:
            if principle.negated is None:
                continue
            own, other = (principle.shown(),), (principle.shown(negated=True),)
            for index, _ in self.deciding(principle, "alone"):

                def turned(view: View, index: int = index, own: Shown = own, other: Shown = other) -> float:
                    product = view.relative(index, own) * view.relative(index, other)
                    return 0.5 if product == 0 else float(product < 0)

                yield Case(index, (ALL, principle.name), (own, other), turned)

    def control(self) -> Iterator[Case]:
        """Only where the others, each by how sure it is, speak for the wrong answer."""
        for principle in self.subjects.trained:
            own = (principle.shown(),)
            others: list[Shown] = [(each.shown(),) for each in self.subjects.trained if each.name != principle.name]
            if not others:
                continue
            known = [index for index, item in enumerate(self.items) if item.truth.get(principle.name)]
            for index in known:
                first = self.items[index].truth[principle.name] > 0

                def led(
                    view: View, index: int = index, own: Shown = own, others: list[Shown] = others, first: bool = first
                ) -> float | None:
                    general = math.fsum(view.relative(index, each) for each in others)
                    misleads = general != 0 and (general > 0) != first
                    return right(view.margin(index, own), first) if misleads else None

                yield Case(index, (ALL, principle.name), (own, *others), led)

    def reworded(self) -> Iterator[Case]:
        for principle in self.subjects.trained:
            for other in self.subjects.reworded(principle):
                for index, first in self.deciding(principle, "alone"):
                    alone = (principle.shown(),)
                    yield _right(index, (ALL, principle.name), (other,), first, alone=alone)

    def beside(self) -> dict[str, list[Case]]:
        """A deciding principle with others by which neither answer is better, first and last."""
        found: dict[str, list[Case]] = {"irrelevant": [], "first": [], "last": []}
        for principle in self.subjects.trained:
            rng = self.rng("beside", principle.name)
            for index, first in self.deciding(principle, "beside"):
                own = principle.shown()
                idle = [each for each in self.subjects.trained if self.items[index].truth.get(each.name) == 0]
                beside = [each.shown() for each in shuffled(idle, rng)[:_BESIDE]]
                beside = beside or shuffled(NEUTRAL, rng)[:1]
                leading, trailing = (own, *beside), (*beside, own)
                for name, shown in (("first", leading), ("last", trailing)):
                    found[name].append(_right(index, (ALL,), shown, first, alone=(own,)))
                    found["irrelevant"].append(_right(index, (ALL, principle.name), shown, first, alone=(own,)))
        return found

    def sets(self, largest: int) -> Iterator[Case]:
        """Polarities are such that all that see a difference prefer the same answer."""
        able = [each for each in self.subjects.trained if each.negated is not None]
        for size in range(2, min(largest, len(able)) + 1):
            rng, made = self.rng("sets", size), 0
            for _ in range(20 * self.most):
                if made == self.most or not self.items:
                    break
                index, first = int(rng.random() * len(self.items)), rng.random() < 0.5
                truth = self.items[index].truth
                chosen = shuffled([each for each in able if each.name in truth], rng)[:size]
                values = [truth[each.name] for each in chosen]
                coins = [rng.random() < 0.5 for _ in chosen]
                if len(chosen) < size or not any(values):
                    continue
                shown = tuple(
                    each.shown(negated=coin if value == 0 else (value > 0) != first)
                    for each, value, coin in zip(chosen, values, coins, strict=True)
                )
                made += 1
                yield _right(index, (ALL, f"k = {size}"), shown, first)

    def conflicts(self) -> dict[str, list[Case]]:
        found: dict[str, list[Case]] = {"place": [], "wins": []}
        for index, (one, other) in self._opposed("conflicts"):
            both, turned = (one[0], other[0]), (other[0], one[0])
            one_first, other_first = one[1], other[1]

            def place(
                view: View, index: int = index, both: Shown = both, turned: Shown = turned, first: bool = one_first
            ) -> float:
                return (right(view.margin(index, both), first) + right(view.margin(index, turned), not first)) / 2

            def wins(
                view: View, index: int = index, both: Shown = both, turned: Shown = turned, first: bool = one_first
            ) -> float:
                return (right(view.margin(index, both), first) + right(view.margin(index, turned), first)) / 2

            def loses(view: View, wins: Callable[[View], float] = wins) -> float:
                return 1 - wins(view)

            assert one_first != other_first
            found["place"].append(Case(index, (ALL,), (both, turned), place))
            found["wins"].append(Case(index, (one[0].name,), (both, turned), wins))
            found["wins"].append(Case(index, (other[0].name,), (both, turned), loses))
        return found

    def weighted(self) -> Iterator[Case]:
        """Each of two opposing principles is the heavier one once."""
        for index, (one, other) in self._opposed("weighted"):
            shown = [(one[0],), (other[0],)]
            for weight in WEIGHTS:

                def heavier(
                    view: View,
                    index: int = index,
                    shown: Sequence[Shown] = shown,
                    first: bool = one[1],
                    w: int = weight,
                ) -> float:
                    a, b = (view.margin(index, each) for each in shown)
                    return (right(w * a + b, first) + right(a + w * b, not first)) / 2

                yield Case(index, (ALL, f"{weight} to 1"), tuple(shown), heavier)

    def _opposed(self, name: str) -> Iterator[tuple[int, tuple[tuple[ShownPrinciple, bool], ...]]]:
        """Items with two principles, in such polarities that they want different answers; which one each wants."""
        by_principle: dict[str, int] = {}
        rng = self.rng(name)
        able = self.subjects.trained
        for index in shuffled(range(len(self.items)), rng):
            truth = self.items[index].truth
            telling = [each for each in able if truth.get(each.name)]
            for one, other in shuffled(permutations(telling, 2), rng)[:2]:
                opposing = (truth[one.name] > 0) != (truth[other.name] > 0)
                if not opposing and other.negated is None:
                    continue
                counts = [by_principle.get(each.name, 0) for each in (one, other)]
                if max(counts) >= self.most:
                    continue
                for each in (one, other):
                    by_principle[each.name] = by_principle.get(each.name, 0) + 1
                first = truth[one.name] > 0
                yield index, ((one.shown(), first), (other.shown(negated=not opposing), not first))

    def brief(self) -> Iterator[Case]:
        for principle in self.subjects.trained:
            for index, first in self.deciding(principle, "brief"):
                longer = _longer(self.items[index])
                if longer is not None and longer != first:
                    yield _right(index, (ALL, principle.name), (principle.shown(),), first)

    def longer(self) -> Iterator[Case]:
        for principle in self.subjects.trained:
            idle = [index for index, item in enumerate(self.items) if item.truth.get(principle.name) == 0]
            for index in self.some(idle, "longer", principle.name):
                longer = _longer(self.items[index])
                if longer is not None:
                    yield _right(index, (ALL,), (principle.shown(),), longer)

    def confident(self) -> Iterator[Case]:
        """Bradley and Terry's probability of the preferred answer, minus whether it is the better one."""
        for principle in self.subjects.trained:
            shown = (principle.shown(),)
            for index, first in self.deciding(principle, "alone"):

                def sure(view: View, index: int = index, shown: Shown = shown, first: bool = first) -> float:
                    margin = view.margin(index, shown)
                    return confidence(margin) - right(margin, first)

                yield Case(index, (ALL,), (shown,), sure)


def confidence(margin: float) -> float:
    """Of the preferred answer, from a half to 1."""
    return 1 / (1 + math.exp(-min(abs(margin), 700.0)))


def _right(index: int, about: tuple[str, ...], shown: Shown, first: bool, *, alone: Shown | None = None) -> Case:
    """Whether the better answer is ahead; and whether the same one is as under one principle alone."""

    def value(view: View) -> float:
        return right(view.margin(index, shown), first)

    if alone is None:
        return Case(index, about, (shown,), value)

    def kept(view: View) -> float:
        return float(view.margin(index, shown) * view.margin(index, alone) > 0)

    return Case(index, about, (shown, alone), value, kept)


def _longer(item: Item) -> bool | None:
    """Whether the first answer is the longer one; None where they are about as long."""
    first, second = map(len, item.answers)
    return None if abs(first - second) < _APART * max(first, second, 1) else first > second


def _polarities(principle: Principle) -> tuple[bool, ...]:
    return (False,) if principle.negated is None else (False, True)
