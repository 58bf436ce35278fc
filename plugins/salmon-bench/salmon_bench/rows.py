"""The rows of the benchmark: a prompt, two answers, principles, and which answer is right by them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from salmon_core.data.readers import read_file
from salmon_core.errors import DataError
from salmon_core.records import ShownPrinciple
from salmon_core.rng import named_rng, shuffled

#: of the data; changed rows get another
VERSION = 1
FILE = Path(__file__).parent / "data" / "bench.jsonl"
Kind = Literal["own", "negated", "reworded", "set", "conflict"]
KINDS: tuple[Kind, ...] = ("own", "negated", "reworded", "set", "conflict")


@dataclass(frozen=True)
class Shown:
    """A principle as a row shows it.

    Attributes:
        name: of the rule that checks it.
        negated: the text asks for the opposite.
        weight: how much it counts beside others, > 0.
    """

    name: str
    text: str
    negated: bool = False
    weight: float = 1.0

    @property
    def principle(self) -> ShownPrinciple:
        """As a reward model is shown it."""
        return ShownPrinciple(self.name, self.text, self.negated)


@dataclass(frozen=True)
class Row:
    """One question with its answer.

    Attributes:
        pair: rows of one are about the same two answers.
        kind: a principle's own text, its negation, other words, a set that agrees, or two that do not.
        family: of the principle; `sets` and `conflicts` of several.
        right: 0 or 1, the answer that is better by the principles; of two that disagree, by the heavier one.
        writer: of both answers.
        trap: the wrong answer was made longer and better to look at.
        measured: by rule, the values of both answers.
    """

    id: str
    pair: str
    kind: Kind
    family: str
    prompt: str
    principles: tuple[Shown, ...]
    answers: tuple[str, str]
    right: int
    writer: str
    trap: bool
    measured: Mapping[str, tuple[float, float]]
    version: int = VERSION

    @cached_property
    def longer(self) -> bool | None:
        """Whether the right answer is the longer one; None where neither is by a tenth."""
        own, other = len(self.answers[self.right]), len(self.answers[1 - self.right])
        return None if abs(own - other) < 0.1 * max(own, other) else own > other

    def to_json(self) -> str:
        """A line."""
        return json.dumps(asdict(self), ensure_ascii=False)


def read_rows(path: Path = FILE) -> list[Row]:
    """All of a file.

    Raises:
        DataError: a row that is none; names its line.
    """
    return [_row(values, where) for where, values in read_file(path)]


def _row(values: Mapping[str, Any], where: str) -> Row:
    try:
        row = Row(
            **{
                **values,
                "principles": tuple(Shown(**each) for each in values["principles"]),
                "answers": tuple(values["answers"]),
                "measured": {name: tuple(own) for name, own in values["measured"].items()},
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"is no row of the benchmark: {error}", where=where) from None
    if row.version != VERSION:
        hint = f"this salmon-bench reads version {VERSION}"
        raise DataError(f"has version {row.version}", where=where, hint=hint)
    return row


def chosen(rows: Sequence[Row], *, limit: int | None, seed: int = 0) -> list[Row]:
    """Rows of so many pairs, evenly by family and writer, in the order of the file.

    Args:
        limit: of pairs; None: all.
    """
    strata: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        strata.setdefault((row.family, row.writer), {})[row.pair] = None
    drawn = [shuffled(own, named_rng(seed, "bench", *key)) for key, own in strata.items()]
    kept = set([pair for round_ in _rounds(drawn) for pair in round_][:limit])
    return [row for row in rows if row.pair in kept]


def _rounds(groups: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    for place in range(max(map(len, groups), default=0)):
        yield [group[place] for group in groups if place < len(group)]


def write_lines(rows: Iterable[Row]) -> str:
    """A file's text."""
    return "".join(row.to_json() + "\n" for row in rows)


def swapped(row: Row) -> Row:
    """With its answers the other way round."""
    measured = {name: (values[1], values[0]) for name, values in row.measured.items()}
    return replace(row, answers=(row.answers[1], row.answers[0]), right=1 - row.right, measured=measured)
