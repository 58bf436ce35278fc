"""The order in which a rater sees a task: items, questions and sides by chance, but the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salmon_core.rng import named_rng, shuffled
from salmon_study.task import Item, Question, Side, Task


@dataclass(frozen=True)
class Step:
    """One thing that is asked.

    Attributes:
        left: the answer that is shown first.
    """

    item: Item
    question: Question
    left: Side

    @property
    def key(self) -> tuple[str, str]:
        """Item and question."""
        return self.item.id, self.question.name

    @property
    def answers(self) -> tuple[str, str]:
        """As they are shown."""
        both = self.item.first, self.item.second
        return both if self.left == "first" else (both[1], both[0])


def steps_of(task: Task, rater: str) -> list[Step]:
    """All that a rater is asked.

    Each rater has an order of their own, so that what comes late, or is shown first, is not the same for all. Questions
    on one pair of answers follow each other, so that it is read once, in one order for all pairs.
    """
    rng = named_rng(task.seed, "order", rater)
    questions = shuffled(task.questions, rng)
    found = []
    for item in shuffled(task.items, rng):
        left: Side = "first" if rng.random() < 0.5 else "second"
        found += [Step(item, question, left) for question in questions]
    return found


def next_step(steps: Sequence[Step], done: frozenset[tuple[str, str]]) -> Step | None:
    """The first that is not done."""
    return next((step for step in steps if step.key not in done), None)
