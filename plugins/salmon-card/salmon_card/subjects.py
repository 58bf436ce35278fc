"""What a reward model is examined by: its principles, others that it never saw, and each in other words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from salmon_card.items import Item
from salmon_core.api import Principle
from salmon_core.records import ShownPrinciple
from salmon_core.sharing.document import RewardDocument

#: another wording of a principle NAME is called NAME or NAME-2, NAME-3, ...
_NUMBERED = re.compile(r"(.+)-\d+")
#: other words for any principle, where nobody wrote any
_FRAMES = ("What counts here is this: {text}", "The more this is true of an answer, the better it is: {text}")
#: principles that no two answers differ by, where it is not known that they agree on one of the examined ones
NEUTRAL = (
    ShownPrinciple("(neutral)", "The response is made of words."),
    ShownPrinciple("(neutral, too)", "The response was written after the question."),
)


@dataclass(frozen=True)
class Subjects:
    """Attributes:
    trained: principles that the reward model was trained on.
    unseen: that it was not.
    wordings: by name of a trained one, its other wordings.
    framed: whether those were made of our fixed templates.
    """

    trained: tuple[Principle, ...]
    unseen: tuple[Principle, ...] = ()
    wordings: Mapping[str, tuple[str, ...]] | None = None
    framed: bool = False

    @property
    def all(self) -> tuple[Principle, ...]:
        """Trained, then unseen."""
        return (*self.trained, *self.unseen)

    def reworded(self, principle: Principle) -> tuple[ShownPrinciple, ...]:
        """The principle in other words."""
        texts = (self.wordings or {}).get(principle.name, ())
        return tuple(ShownPrinciple(principle.name, text) for text in texts)


def subjects_of(trained: Sequence[Principle], others: Iterable[Principle] = ()) -> Subjects:
    """Sorted by what each is.

    Args:
        trained: as the reward model was shown them.
        others: any others: unseen ones, and other wordings, which are known by their names.
    """
    names = {principle.name: principle for principle in trained}
    texts: dict[str, list[str]] = {name: [] for name in names}
    unseen: dict[str, Principle] = {}

    def is_wording(principle: Principle) -> bool:
        numbered = _NUMBERED.fullmatch(principle.name)
        base = principle.name if principle.name in names else numbered[1] if numbered else ""
        if base not in names:
            return False
        if principle.text not in (names[base].text, names[base].negated, *texts[base]):
            texts[base].append(principle.text)
        return True

    for principle in others:
        if not is_wording(principle):
            unseen.setdefault(principle.name, principle)
    framed = not any(texts.values())
    if framed:
        texts = {name: [frame.format(text=own.text) for frame in _FRAMES] for name, own in names.items()}
    return Subjects(tuple(trained), tuple(unseen.values()), {k: tuple(v) for k, v in texts.items()}, framed)


def telling(subjects: Subjects, items: Iterable[Item]) -> Subjects:
    """Without unseen principles of which no item knows anything."""
    known = {name for item in items for name in item.truth}
    return replace(subjects, unseen=tuple(each for each in subjects.unseen if each.name in known))


def trained_on(document: RewardDocument) -> tuple[Principle, ...]:
    """The principles of a reward model's document that it was shown the own text of."""
    return tuple(
        Principle(each.name, each.text, negated=each.negated, weight=each.weight)
        for each in document.principles
        if each.text is not None
    )
