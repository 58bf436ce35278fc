"""Questions of two turns, as a file has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from salmon_core.data.validation import problems_of
from salmon_core.errors import DataError

#: our own, one of each category
OURS = Path(__file__).with_name("data") / "mt_questions.jsonl"


class _Row(BaseModel):
    """As a line of the file."""

    model_config = ConfigDict(extra="forbid")

    id: str | int
    category: str = "all"
    turns: list[str] = Field(min_length=2, max_length=2)
    reference: list[str] = Field([], max_length=2)


@dataclass(frozen=True, slots=True)
class TwoTurns:
    """A question and what is asked after its answer.

    Attributes:
        reference: what a right answer to each says; empty where nothing is said.
    """

    id: str
    category: str
    turns: tuple[str, str]
    reference: tuple[str, ...] = ()


def read_questions(path: Path) -> list[TwoTurns]:
    """The questions of a JSON Lines file, in order: `id`, `category`, `turns`, and `reference` where there is one.

    Raises:
        DataError: what is wrong with its first bad line, or there is none at all.
    """
    found: dict[str, TwoTurns] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = _Row.model_validate(json.loads(line))
        except ValidationError as error:
            raise DataError(str(problems_of(error, "", _Row)[0]), where=where, hint=_HINT) from None
        except ValueError as error:
            raise DataError(f"is no JSON: {error}", where=where, hint=_HINT) from None
        if not all(turn.strip() for turn in row.turns):
            raise DataError("has an empty turn", where=where, hint=_HINT)
        if str(row.id) in found:
            raise DataError(f"has the id {row.id!r} of another question", where=where)
        found[str(row.id)] = TwoTurns(
            str(row.id), row.category, (row.turns[0], row.turns[1]), tuple(filter(str.strip, row.reference))
        )
    if not found:
        raise DataError("has no questions", where=str(path), hint=_HINT)
    return list(found.values())


_HINT = 'a line is {"id": "tides", "category": "stem", "turns": ["...", "..."], "reference": ["...", "..."]}'
