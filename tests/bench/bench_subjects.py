"""Subjects whose worth is known, to be examined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from salmon_bench.rules import RULES
from salmon_bench.subject import Orders, Question, Subject

_BY_TEXT = {text: (rule, text == rule.negated) for rule in RULES for text in (*rule.texts, rule.negated)}


def says(question: Question, *, deaf: bool = False) -> float:
    """What a subject that checks says: the sum over principles; one that is deaf does not hear `not`."""
    total = 0.0
    for shown in question.shown:
        rule, negated = _BY_TEXT[shown.text]
        right = rule.right(question.answers, question.messages[0]["content"])
        if right is not None:
            total += (1.0 if right == 0 else -1.0) * (-1.0 if negated and not deaf else 1.0)
    return total


class Ruled(Subject):
    """Says what a rule says; counts what it is asked.

    Args:
        rule: question -> what speaks for the first answer in each order.
    """

    name = "ruled"

    def __init__(self, rule: Callable[[Question], Orders], sort: Any = "reward model", *, joint: bool = False):
        self._rule, self.sort, self.joint = rule, sort, joint
        self.asked: list[Question] = []

    @property
    def identity(self) -> Any:
        return "ruled"

    def ask(self, questions: Sequence[Question]) -> list[Orders]:
        self.asked += questions
        return [self._rule(each) for each in questions]


def knowing(question: Question) -> Orders:
    """Always right."""
    return says(question), says(question)


def deaf(question: Question) -> Orders:
    """Does not hear `not`."""
    return says(question, deaf=True), says(question, deaf=True)


def first(question: Question) -> Orders:
    """Prefers what is shown first."""
    return 1.0, -1.0
