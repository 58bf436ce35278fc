"""Rows of other benchmarks as comparisons of answers, and what a subject says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmon_bench.answers import Answers
from salmon_bench.subject import Question, Subject
from salmon_core.errors import DataError
from salmon_core.records import Message

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One prompt with its answers.

    Attributes:
        section: what is averaged over first.
        group: cases that belong together, for intervals and for what is asked of several of them.
        needed: comparisons of (answer, other answer) that the average is made of.
        extra: of the format.
    """

    id: str
    messages: tuple[Message, ...]
    answers: tuple[str, ...]
    section: str
    group: str
    needed: tuple[tuple[int, int], ...]
    extra: Mapping[str, Any] = field(default_factory=dict)


#: (case, answer, other answer) -> what speaks for the answer in each order
Compare = Callable[[Case, int, int], tuple[float, float]]


def user(text: str) -> tuple[Message, ...]:
    """A conversation of one turn."""
    return (Message(role="user", content=text),)


def compared(
    subject: Subject, cases: Sequence[Case], folder: Path, progress: Callable[[int], None] = lambda done: None
) -> tuple[Compare, int]:
    """What a subject says of all comparisons, and how many questions that were.

    A judge is asked each comparison in both orders. Of a scalar one each answer is scored once.
    """
    scalar = subject.sort != "judge"
    asked: dict[tuple[str, int, int], Question] = {}
    for case in cases:
        pairs = [(number, 0) for number in range(1, len(case.answers))] if scalar else case.needed
        for one, other in pairs:
            asked[case.id, one, other] = Question(case.messages, (case.answers[one], case.answers[other]))
    said = Answers(folder, subject).of(list(asked.values()), progress)

    def compare(case: Case, one: int, other: int) -> tuple[float, float]:
        if not scalar:
            return said[asked[case.id, one, other].key]
        # Differences to the first answer: scores but for a constant that no comparison sees.
        first, second = (said[asked[case.id, each, 0].key][0] if each else 0.0 for each in (one, other))
        return first - second, first - second

    return compare, len({each.key for each in asked.values()})


def text_of(row: Raw, key: str, where: str) -> str:
    """A text of a row.

    Raises:
        DataError: it is none.
    """
    if not isinstance(row.get(key), str):
        raise DataError(f"`{key}` is no text", where=where)
    return str(row[key])


def texts_of(row: Raw, key: str, where: str) -> tuple[str, ...]:
    """A list of texts of a row, not empty.

    Raises:
        DataError: it is none.
    """
    found = row.get(key)
    if not isinstance(found, list | tuple) or not found or not all(isinstance(each, str) for each in found):
        raise DataError(f"`{key}` is no list of texts", where=where)
    return tuple(found)


def one_of(row: Raw, key: str, known: Sequence[str], where: str) -> str:
    """A text of a row that begins as one of these.

    Raises:
        DataError: it does not.
    """
    value = text_of(row, key, where)
    found = next((each for each in known if value.startswith(each)), None)
    if found is None:
        raise DataError(f"`{key}` is {value!r}", where=where, hint=f"known are {', '.join(known)}")
    return found
