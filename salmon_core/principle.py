"""A principle, and what a reward model is shown of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ShownPrinciple:
    """A principle as a reward model sees it: its own text, or its negated text.

    Attributes:
        weight: how much it counts where each is scored alone, > 0; None: as configured for its name.
        source: where it was taken from and how it was worded there; never shown to a model. Empty: written here.
        veto: a hard rule; see `reward.veto`.
    """

    name: str
    text: str
    negated: bool = False
    weight: float | None = None
    veto: bool = False


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
        veto: a hard rule: it is always shown, and where it is broken nothing else counts (see `reward.veto`).

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
    veto: bool = False

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
            return ShownPrinciple(self.name, self.text, veto=self.veto)
        if self.negated is None:
            raise ValueError(f"principle {self.name!r} has no negated text")
        return ShownPrinciple(self.name, self.negated, negated=True, veto=self.veto)

    def weight_for(self, category: str) -> float:
        """Relative frequency of being drawn on prompts of this category."""
        return self.weight + self.categories.get(category, 0.0)
