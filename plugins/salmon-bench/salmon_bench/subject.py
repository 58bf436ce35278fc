"""What is examined: asked which of two answers is better by the principles shown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

from salmon_core.closing import Closing
from salmon_core.records import Message, ShownPrinciple
from salmon_core.rng import named_rng
from salmon_core.run.identity import fingerprint

Sort = Literal["reward model", "judge", "baseline"]
#: what speaks for the first answer, were it shown first, and were it shown second
Orders = tuple[float, float]


@dataclass(frozen=True)
class Question:
    """One comparison.

    Attributes:
        answers: as they are compared; the first is the one that a margin above 0 speaks for.
        shown: none: the better one as a whole.
    """

    messages: tuple[Message, ...]
    answers: tuple[str, str]
    shown: tuple[ShownPrinciple, ...] = ()

    @cached_property
    def key(self) -> str:
        """Of all that decides the answer."""
        turns = [[turn["role"], turn["content"]] for turn in self.messages]
        return fingerprint([turns, list(self.answers), [each.text for each in self.shown]])


class Subject(Closing):
    """A reward model, a judge, or something to compare them with. A context manager.

    Attributes:
        sort: what it is.
        joint: whether it reads several principles in one text; else it is asked by each alone.
    """

    sort: ClassVar[Sort]
    joint: bool = False

    @property
    @abstractmethod
    def name(self) -> str:
        """For people."""

    @property
    @abstractmethod
    def identity(self) -> Any:
        """All that decides its answers, JSON-ready."""

    @abstractmethod
    def ask(self, questions: Sequence[Question]) -> list[Orders]:
        """What it says of each.

        Raises:
            SalmonError: it cannot be asked.
        """

    def fits(self, question: Question) -> bool:
        """Whether it can read the whole of it; what it would have to cut says nothing about it."""
        return True

    def close(self) -> None:
        """Frees what was opened; may be called more than once."""


class Length(Subject):
    """The longer answer is better, whatever is asked."""

    sort = "baseline"
    name = "length"
    identity = "length"
    joint = True

    def ask(self, questions: Sequence[Question]) -> list[Orders]:
        """The difference of characters."""
        margins = [float(len(each.answers[0]) - len(each.answers[1])) for each in questions]
        return [(margin, margin) for margin in margins]


class Coin(Subject):
    """A coin for each question, the same one whenever it is asked."""

    sort = "baseline"
    name = "random"
    joint = True

    def __init__(self, seed: int = 0):
        self._seed = seed

    @property
    def identity(self) -> Any:
        return ["random", self._seed]

    def ask(self, questions: Sequence[Question]) -> list[Orders]:
        """1 or -1."""
        margins = [1.0 if named_rng(self._seed, "coin", each.key).random() < 0.5 else -1.0 for each in questions]
        return [(margin, margin) for margin in margins]
