"""Principles and sets of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from salmon_core.records import ShownPrinciple


@dataclass(frozen=True, slots=True)
class Principle:
    """A rule in plain words that an answer should follow.

    Attributes:
        name: short, unique within its set.
        text: what a judge or a reward model is shown.
        negated: the text that asks for the opposite, or None where there is none.
        weight: relative frequency of being drawn for RL, > 0.
        categories: weight added on prompts of a category, by category.
        tags: free labels to select by.
    """

    name: str
    text: str
    negated: str | None = None
    weight: float = 1.0
    categories: Mapping[str, float] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def shown(self, *, negated: bool = False) -> ShownPrinciple:
        """As shown to a reward model.

        Raises:
            ValueError: negated, but the principle has no negated text.
        """
        if not negated:
            return ShownPrinciple(self.name, self.text)
        if self.negated is None:
            raise ValueError(f"principle {self.name!r} has no negated text")
        return ShownPrinciple(self.name, self.negated, negated=True)


@dataclass(frozen=True)
class PrincipleSet:
    """Principles in order, names unique."""

    name: str
    principles: tuple[Principle, ...]
    description: str = ""

    def __iter__(self) -> Iterator[Principle]:
        return iter(self.principles)

    def __len__(self) -> int:
        return len(self.principles)

    def __getitem__(self, name: str) -> Principle:
        for principle in self.principles:
            if principle.name == name:
                return principle
        raise KeyError(name)
