"""Pairs whose better answer is known: rows of a prompt, two answers, a principle and which of them is better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from salmon_core.data.prompts import Columns, to_prompt
from salmon_core.data.readers import read_file
from salmon_core.data.validation import problems_of
from salmon_core.errors import DataError
from salmon_core.records import Completion, Pair


@dataclass(frozen=True, slots=True)
class GoldRow:
    """Attributes:
    first_better: whether it is the first that follows the principle better.
    """

    pair: Pair
    principle: str
    first_better: bool


class _Cells(BaseModel):
    first: str
    second: str
    principle: str = Field(min_length=1)
    better: Literal["first", "second"]


def read_gold(path: Path, principles: tuple[str, ...]) -> list[GoldRow]:
    """The rows of a JSON Lines, CSV or Parquet file: `prompt` or `messages`, `first`, `second`, `principle`, `better`.

    Args:
        principles: those that are judged by.

    Raises:
        DataError: a row that is none, with its place; or no row at all.
    """
    rows = [_row(values, where, number, principles) for number, (where, values) in enumerate(read_file(path))]
    if not rows:
        raise DataError("has no rows", where=str(path))
    return rows


def _row(values: dict[str, Any], where: str, number: int, principles: tuple[str, ...]) -> GoldRow:
    prompt = to_prompt(values, Columns(), where)
    try:
        cells = _Cells.model_validate(values)
    except ValidationError as error:
        problem = problems_of(error, "")[0]
        raise DataError(problem.message, where=f"{where}, column {problem.where}") from None
    if cells.principle not in principles:
        known = ", ".join(principles)
        raise DataError(f"no principle {cells.principle!r} is judged by", where=where, hint=f"there are {known}")
    if cells.first == cells.second:
        raise DataError("has the same text twice", where=where)
    texts = (cells.first, cells.second)
    # Numbered by row, so that two rows on one prompt are two pairs.
    first, second = (Completion(prompt.id, 2 * number + i, text, (), 0, True) for i, text in enumerate(texts))
    return GoldRow(Pair(prompt, first, second), cells.principle, cells.better == "first")
