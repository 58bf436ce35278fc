"""Principles of single prompts: which ones a prompt is judged and rewarded by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from salmon_core.api.principles import Principle
from salmon_core.data.own_principles import name_of
from salmon_core.errors import DataError
from salmon_core.principles.draw import draw_principles
from salmon_core.records import Prompt, ShownPrinciple

How = Literal["add", "only"]
_NOT = "not "


@dataclass(frozen=True)
class PerPrompt:
    """What becomes of the principles that prompts bring along.

    Attributes:
        how: `add` to the set's, or `only` these where a prompt has some.
        known: what a name may stand for, beside the set's own.
    """

    how: How
    known: tuple[Principle, ...]

    def of(self, prompt: Prompt, principles: Sequence[Principle]) -> tuple[Principle, ...]:
        """The principles of a prompt: its own first, then those of the set that it says nothing else about.

        Args:
            principles: the set's.

        Raises:
            DataError: it names one that there is not.
        """
        if not prompt.principles:
            return tuple(principles)
        by_name = {each.name: each for each in (*self.known, *principles)}
        own = [each if isinstance(each, Principle) else _meant(each, by_name, prompt) for each in prompt.principles]
        if self.how == "only":
            return tuple(own)
        said = {each.name.removeprefix(_NOT) for each in own}
        return (*own, *(each for each in principles if each.name not in said))


@dataclass(frozen=True)
class Pools:
    """What the principles of a rollout are drawn from, and how they are shown.

    Attributes:
        principles: the reward's set.
        shown: by name, as the configuration wants those of the set shown.
    """

    principles: tuple[Principle, ...]
    shown: Mapping[str, ShownPrinciple]
    per_prompt: PerPrompt | None = None

    def of(self, prompt: Prompt) -> tuple[Principle, ...]:
        """Those of a prompt."""
        return self.principles if self.per_prompt is None else self.per_prompt.of(prompt, self.principles)

    def draw(self, prompt: Prompt, rng: Random, *, show: int) -> tuple[ShownPrinciple, ...]:
        """As many as are to be shown (arXiv 2310.05910, 3.3), and every hard rule."""
        drawn = draw_principles(self.of(prompt), rng, show=show, category=prompt.category)
        return tuple(map(self.as_shown, drawn))

    def as_shown(self, principle: Principle) -> ShownPrinciple:
        """One of the set as configured; one of a prompt by its text, with the weight that it brings."""
        if principle in self.principles:
            return self.shown[principle.name]
        return replace(principle.shown(), weight=principle.weight)


def _meant(text: str, by_name: dict[str, Principle], prompt: Prompt) -> Principle:
    """The principle that a text stands for."""
    if text in by_name:
        return by_name[text]
    opposite = by_name.get(text.removeprefix(_NOT)) if text.startswith(_NOT) else None
    if opposite is not None and opposite.negated is not None:
        return replace(opposite, name=text, text=opposite.negated, negated=opposite.text)
    if opposite is not None:
        raise DataError(f"the principle {opposite.name!r} has no negated text", where=f"prompt {prompt.id}")
    if " " not in text:
        known = ", ".join(sorted(by_name))
        raise DataError(
            f"there is no principle named {text!r}",
            where=f"prompt {prompt.id}",
            hint=f"there are {known}; a text of several words is a principle in these words",
        )
    return Principle(name_of(text), text)
