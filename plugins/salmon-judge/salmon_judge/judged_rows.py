"""Rows of a file that say which of two completions is better under a principle; columns as of known answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from salmon_core.data.prompts import Columns, to_prompt
from salmon_core.data.readers import read_file
from salmon_core.data.validation import problems_of
from salmon_core.errors import ConfigError, DataError, Problem
from salmon_core.records import Pair, prompt_id

#: what a row names a pair by: its id, or a prompt and both completions
Key = tuple[str, ...]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("is true or false, not a number")
    return value


_Number = Annotated[float, BeforeValidator(_no_truth), Field(allow_inf_nan=False)]


class _Cells(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    principle: str
    pair_id: str | None = None
    prompt: str | None = None
    messages: Any = None
    prompt_id: str | None = None
    first: str | None = None
    second: str | None = None
    better: Literal["first", "second", "tie"] | None = None
    score: _Number | None = None
    s12: _Number | None = None
    s21: _Number | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.pair_id is None:
            if (self.prompt, self.messages, self.prompt_id) == (None, None, None):
                raise ValueError(
                    "names no pair: it needs pair_id, or first and second with prompt, messages or prompt_id"
                )
            if self.first is None or self.second is None:
                raise ValueError("has no pair_id, so it needs the texts of both completions, first and second")
            if _plain(self.first) == _plain(self.second):
                raise ValueError("has the same text twice, so which is which cannot be told; use pair_id")
        orders = [self.s12 is not None, self.s21 is not None]
        if any(orders) and not all(orders):
            raise ValueError("s12 and s21 come together")
        if [self.better is not None, self.score is not None, all(orders)].count(True) != 1:
            raise ValueError("says what is better by one of better, score, and s12 with s21")
        return self


@dataclass(frozen=True, slots=True)
class Said:
    """What a row says; positive scores are for the row's first completion.

    Attributes:
        where: the row, for messages.
    """

    s12: float
    s21: float
    reason: str | None
    where: str

    def turned(self) -> Said:
        """The same of the completions in the other order."""
        return replace(self, s12=-self.s21, s21=-self.s12)


class JudgedRows:
    """All rows of a JSON Lines, CSV or Parquet file.

    Raises:
        ConfigError: every row that cannot be used, with its place; or the file cannot be read.
    """

    def __init__(self, path: Path):
        self._said: dict[str, dict[Key, Said]] = {}
        problems: list[Problem] = []
        try:
            for where, values in read_file(path):
                problems += self._add(values, where)
        except DataError as error:  # of the file, or a line that cannot be read; what follows it cannot be read either
            problems.append(_problem(error))
        if not problems and not self._said:
            problems.append(Problem(str(path), "has no rows"))
        if problems:
            raise ConfigError(problems)

    @property
    def principles(self) -> tuple[str, ...]:
        """Those that rows are about."""
        return tuple(self._said)

    def of(self, pair: Pair, principle: str) -> list[Said]:
        """What rows say of a pair, with its own completion 1 as the first: mostly one, or none."""
        said = self._said.get(principle, {})
        first, second = _plain(pair.first.text), _plain(pair.second.text)
        found = [said.get(("pair_id", pair.id))]
        if first != second:
            for kind, name in _names(pair):
                found.append(said.get((kind, name, first, second)))
                other = said.get((kind, name, second, first))
                found.append(None if other is None else other.turned())
        return [each for each in found if each is not None]

    def _add(self, values: Mapping[str, Any], where: str) -> Iterator[Problem]:
        """The row's problems; one without is kept."""
        # A completion may be empty; in other columns that is how CSV says nothing, as null is Parquet's way.
        given = {k: v for k, v in values.items() if v is not None and (v != "" or k in ("first", "second"))}
        try:
            cells = _Cells.model_validate(given)
            key = _key(cells, where)
        except ValidationError as error:
            for each in problems_of(error, ""):
                column = "" if each.where == "configuration" else f", column {each.where}"
                yield replace(each, where=where + column)
            return
        except DataError as error:
            yield _problem(error)
            return
        said = self._said.setdefault(cells.principle, {})
        turned = (*key[:2], *key[:1:-1])
        if before := said.get(key) or said.get(turned):
            yield Problem(where, f"judges a pair under {cells.principle!r} again", f"first at {before.where}")
            return
        said[key] = _said(cells, where)


def _said(cells: _Cells, where: str) -> Said:
    if cells.s12 is not None and cells.s21 is not None:
        return Said(cells.s12, cells.s21, cells.reason, where)
    score = cells.score
    if score is None:
        score = {"first": 1.0, "second": -1.0}.get(cells.better or "tie", 0.0)
    return Said(score, score, cells.reason, where)


def _key(cells: _Cells, where: str) -> Key:
    if cells.pair_id is not None:
        return ("pair_id", cells.pair_id)
    texts = (_plain(cells.first or ""), _plain(cells.second or ""))
    if cells.prompt_id is not None:
        return ("prompt_id", cells.prompt_id, *texts)
    if cells.messages is not None:
        messages = to_prompt({"messages": cells.messages}, Columns(), where).messages
        return ("messages", prompt_id(messages), *texts)
    return ("prompt", _plain(cells.prompt or ""), *texts)


def _names(pair: Pair) -> Iterator[tuple[str, str]]:
    """What rows may call a pair's prompt by."""
    yield "prompt_id", pair.prompt.id
    yield "messages", prompt_id(pair.prompt.messages)
    yield "prompt", _plain(pair.prompt.text)


def _plain(text: str) -> str:
    """Spreadsheets and people change line ends, and what surrounds a text."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _problem(error: DataError) -> Problem:
    return Problem(error.where or "", error.message)
