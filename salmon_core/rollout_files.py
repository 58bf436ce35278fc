"""Completions to score, from files: a prompt as in `prompt_files`, its completion, and what else is known of it.

JSON and Parquet have types of their own; in CSV every cell is text, so `false` and `12` are read as what they say, and
lists are written as JSON. Everything wrong with a file is found in one go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from salmon_core.errors import DataError
from salmon_core.prompt_files import READERS, Columns, has_half_a_character, read_jsonl, to_prompt
from salmon_core.records import Prompt, ShownPrinciple

T = TypeVar("T")
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_WHOLE = re.compile(r"[0-9]{1,18}(\.0*)?")
#: problems of one file that are listed at most
_LISTED = 12


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """One row; `None` stands for what it does not say."""

    prompt: Prompt
    completion: str
    completion_ids: tuple[int, ...]
    n_tokens: int | None
    stopped: bool
    principles: tuple[ShownPrinciple, ...] | None


def read_rollouts(path: Path) -> list[RolloutRow]:
    """The rows of a JSON Lines, CSV or Parquet file.

    Raises:
        DataError: all cells that cannot be read, with line or row, and column.
    """
    rows: list[RolloutRow] = []
    wrong: list[DataError] = []
    for where, row in READERS.get(path.suffix.lower(), read_jsonl)(path):
        cells = _Cells(where, row)
        found = cells.rollout()
        wrong += cells.wrong
        if found is not None:
            rows.append(found)
    if not rows and not wrong:
        raise DataError("has no rows", where=str(path))
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        listed = "".join(f"\n  - {str(each).removeprefix(f'{path}: ')}" for each in wrong[:_LISTED])
        more = f"\n  ... and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        raise DataError(f"{len(wrong)} cells cannot be used{listed}{more}", where=str(path))
    return rows


class _Cells:
    """One row's cells, and what is wrong with them."""

    def __init__(self, where: str, row: Mapping[str, Any]):
        self._where, self._row, self.wrong = where, row, list[DataError]()

    def rollout(self) -> RolloutRow | None:
        """None if a cell is wrong."""
        prompt = None
        try:
            prompt = to_prompt(self._row, Columns(), self._where)
        except DataError as error:
            self.wrong.append(error)
        completion = self._row.get("completion")
        if not isinstance(completion, str):
            self.wrong.append(DataError("has no text in 'completion'", where=self._where))
        ids = self.cell("completion_ids", _ids)
        n_tokens = self.cell("n_tokens", _whole)
        stopped = self.cell("stopped", _truth)
        principles = self.cell("principles", _principles)
        if self.wrong or prompt is None or not isinstance(completion, str):
            return None
        return RolloutRow(
            prompt, completion, ids or (), n_tokens, True if stopped is None else stopped, principles or None
        )

    def cell(self, column: str, read: Callable[[Any], T]) -> T | None:
        """A cell's value; None where it is empty."""
        value = self._row.get(column)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        try:
            return read(value)
        except _WrongError as error:
            shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
            self.wrong.append(DataError(f"{error}, not {shown}", where=f"{self._where}, column {column}"))
            return None


class _WrongError(Exception):
    """Says what a cell has to be."""


def _truth(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if isinstance(value, bool | int | float) and value in (0, 1):
        return bool(value)
    raise _WrongError("has to be true or false")


def _whole(value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value.strip().partition(".")[0])
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**18 and value == value // 1:
        return int(value)
    raise _WrongError("has to be a whole number, 0 or more")


def _ids(value: Any) -> tuple[int, ...]:
    try:
        return tuple(map(_whole, _items(value)))
    except _WrongError:
        raise _WrongError("has to be a list of token ids") from None


def _principles(value: Any) -> tuple[ShownPrinciple, ...]:
    try:
        return tuple(map(_shown, _items(value)))
    except _WrongError:
        raise _WrongError("has to be a list of {name, text, negated}") from None


def _shown(item: Any) -> ShownPrinciple:
    if not isinstance(item, Mapping) or not all(isinstance(item.get(key), str) for key in ("name", "text")):
        raise _WrongError
    if has_half_a_character(item["name"] + item["text"]):
        raise _WrongError
    negated = item.get("negated")
    return ShownPrinciple(item["name"], item["text"], negated is not None and _truth(negated))


def _items(value: Any) -> Sequence[Any]:
    """Of a list, or of one written as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _WrongError from None
    if not isinstance(value, list | tuple):
        raise _WrongError
    return value
