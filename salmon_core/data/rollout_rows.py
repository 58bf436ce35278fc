"""Completions to score, from files: a prompt as in `salmon_core.data.prompts`, its completion, and what else is known.

JSON and Parquet have types of their own; in CSV every cell is text, so `false` and `12` are read as what they say, and
lists are written as JSON. Everything wrong with a file is found in one go.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, ValidationError, model_validator

from salmon_core.data.own_principles import name_of
from salmon_core.data.prompts import Columns, to_prompt
from salmon_core.data.readers import Wrong, parse_json, read_file
from salmon_core.data.validation import problems_of, shown
from salmon_core.errors import DataError
from salmon_core.records import Prompt, ShownPrinciple


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """One row; `None` stands for what it does not say.

    Attributes:
        principles: a text is a name, `NAME` or `not NAME`, or a principle in these words.
    """

    prompt: Prompt
    completion: str
    completion_ids: tuple[int, ...]
    n_tokens: int | None
    stopped: bool
    principles: tuple[ShownPrinciple | str, ...] | None


def read_rollouts(path: Path) -> list[RolloutRow]:
    """The rows of a JSON Lines, CSV or Parquet file.

    Raises:
        DataError: all cells that cannot be read, with line or row, and column.
    """
    rows: list[RolloutRow] = []
    wrong = Wrong(str(path))
    for where, row in read_file(path):
        prompt = cells = None
        try:
            prompt = to_prompt(row, Columns(), where)
        except DataError as error:
            wrong.add(error)
        try:
            cells = _Cells.model_validate(row)
        except ValidationError as error:
            for problem in problems_of(error, ""):
                wrong.add(DataError(problem.message, where=f"{where}, column {problem.where}"))
        if prompt is not None and cells is not None:
            rows.append(cells.rollout(prompt))
    wrong.stop("cells cannot be used")
    if not rows:
        raise DataError("has no rows", where=str(path))
    return rows


def _count(value: Any) -> Any:
    """pydantic takes True for 1."""
    if isinstance(value, bool):
        raise ValueError(f"has to be a whole number, not {value}")
    return value


def _items(value: Any) -> Any:
    """Of a list, or of one written as JSON."""
    try:
        return parse_json(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"has to be a list, in CSV one written as JSON; {shown(value)} {error}") from None


def _given(values: Any) -> Any:
    """Without what is empty, which says nothing; an empty completion is one."""
    if not isinstance(values, dict):
        return values
    stripped = {key: value.strip() if isinstance(value, str) else value for key, value in values.items()}
    return {key: values[key] for key, value in stripped.items() if key == "completion" or value not in (None, "")}


_Id = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
_Truth = Annotated[bool, BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value)]


def _shown(value: Any) -> Any:
    """A name, a text, or an object, whose `negated` may be the negated text too, as in a set's file."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if not isinstance(value, dict):
        raise ValueError(f"has to be a name, a text or an object, not {shown(value)}")
    values = _given(value)
    if isinstance(values.get("negated"), str):
        values = {key: each for key, each in values.items() if key != "negated"}
    return values if "name" in values or "text" not in values else {"name": name_of(str(values["text"])), **values}


def _which(value: Any) -> str:
    return "text" if isinstance(value, str) else "object"


_Principle = Annotated[
    Annotated[ShownPrinciple, Tag("object")] | Annotated[str, Tag("text")],
    Discriminator(_which),
    BeforeValidator(_shown),
]


class _Cells(BaseModel):
    """What a row says beside its prompt."""

    completion: str
    completion_ids: Annotated[tuple[_Id, ...], BeforeValidator(_items)] = ()
    n_tokens: Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(_count)] | None = None
    stopped: _Truth = True
    principles: Annotated[tuple[_Principle, ...], BeforeValidator(_items)] | None = None

    _without_empty = model_validator(mode="before")(_given)

    def rollout(self, prompt: Prompt) -> RolloutRow:
        return RolloutRow(
            prompt, self.completion, self.completion_ids, self.n_tokens, self.stopped, self.principles or None
        )
