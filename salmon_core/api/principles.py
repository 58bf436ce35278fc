"""Principles and sets of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from salmon_core.records import ShownPrinciple


@dataclass(frozen=True, slots=True)
class Principle:
    """A rule in plain words that an answer should follow.

    Attributes:
        name: short, unique within its set; bundled ones are lower-case-with-hyphens.
        text: what a judge or a reward model is shown.
        negated: the text that asks for the opposite, or None where there is none.
        weight: relative frequency of being drawn for RL, > 0.
        categories: weight added on prompts of a category, by category, >= 0.
        tags: free labels to select by.
        title: the name for people; the `dimension` of a published SALMON file. Empty: the same as `name`.
        source: where it was taken from and how it was worded there; never shown to a model. Empty: written here.

    Raises:
        ValueError: an empty name or text, or a weight that cannot be drawn by.
    """

    name: str
    text: str
    negated: str | None = None
    weight: float = 1.0
    categories: Mapping[str, float] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    title: str = ""
    source: str = field(default="", metadata={"uncounted": True})  # nothing is computed from it: `run.identity`

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a principle needs a name")
        if not self.text.strip() or (self.negated is not None and not self.negated.strip()):
            raise ValueError(f"principle {self.name!r} has an empty text")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"principle {self.name!r}: weight must be a number above 0, not {self.weight}")
        if any(not (math.isfinite(boost) and boost >= 0) for boost in self.categories.values()):
            raise ValueError(f"principle {self.name!r}: weights added by category must be 0 or more")

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

    def weight_for(self, category: str) -> float:
        """Relative frequency of being drawn on prompts of this category."""
        return self.weight + self.categories.get(category, 0.0)


@dataclass(frozen=True)
class PrincipleSet:
    """Principles in order, names unique.

    Raises:
        ValueError: a name occurs twice.
    """

    name: str
    principles: tuple[Principle, ...]
    description: str = ""

    def __post_init__(self) -> None:
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise ValueError(f"principle set {self.name!r} has more than one {', '.join(sorted(twice))}")

    def __iter__(self) -> Iterator[Principle]:
        return iter(self.principles)

    def __len__(self) -> int:
        return len(self.principles)

    def __getitem__(self, name: str) -> Principle:
        for principle in self.principles:
            if principle.name == name:
                return principle
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(principle.name for principle in self.principles)

    def select(self, only: Sequence[str] | None = None, without: Sequence[str] = ()) -> PrincipleSet:
        """Those named in `only` (None: all) and not in `without`, in this set's order.

        Raises:
            KeyError: a name that is not in the set.
        """
        wanted = self.names if only is None else only
        for name in (*wanted, *without):
            self[name]
        kept = tuple(p for p in self.principles if p.name in wanted and p.name not in without)
        return replace(self, principles=kept)

    def reweighted(self, weights: Mapping[str, float]) -> PrincipleSet:
        """With other weights for the principles named.

        Raises:
            KeyError: a name that is not in the set.
        """
        for name in weights:
            self[name]
        return replace(
            self, principles=tuple(replace(p, weight=weights.get(p.name, p.weight)) for p in self.principles)
        )
