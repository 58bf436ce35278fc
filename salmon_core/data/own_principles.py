"""Principles that a row brings along: names, texts, objects, or a mixture, also written as JSON in a cell of CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from salmon_core.data.points import pointed
from salmon_core.data.readers import parse_json
from salmon_core.data.validation import problems_of
from salmon_core.errors import DataError
from salmon_core.principle import Principle

_HINT = "principles are names, texts, or objects such as {text: The answer names a dose., negated: ..., weight: 2}"
#: words of a text that make its name
_WORDS = 5


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text.strip()


_Text = Annotated[str, AfterValidator(_text)]


class _Own(BaseModel):
    """A principle as an object; what only matters in a set's file may be there as well."""

    model_config = ConfigDict(extra="forbid")

    name: _Text | None = None
    text: _Text
    negated: _Text | None = None
    weight: Annotated[float, Field(allow_inf_nan=False, strict=True)] = 1.0
    veto: Annotated[bool, Field(strict=True)] = False
    title: str = ""
    tags: tuple[str, ...] = ()
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Any) -> Any:
        return {key: each for key, each in values.items() if each is not None} if isinstance(values, dict) else values

    def principle(self) -> Principle:
        """
        Raises:
            ValueError: the weight is 0.
        """
        own = pointed(self.text, self.negated, self.weight)
        name = self.name or name_of(self.text)
        return Principle(name, own.text, own.negated, own.weight, title=self.title, source=self.source, veto=self.veto)


def name_of(text: str) -> str:
    """A name for a principle that has none: its first words, and what tells it from others that begin alike."""
    words = re.findall(r"\w+", text.lower())[:_WORDS]
    return "-".join([*words, sha256(text.encode()).hexdigest()[:6]])


def own_principles(value: Any, where: str) -> tuple[Principle | str, ...]:
    """What a row says of its principles.

    Args:
        value: a list; a text, which is one principle, or JSON of a list; None or empty: none.
        where: the row.

    Raises:
        DataError: all that cannot be read.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(value)
        except ValueError as error:
            raise DataError(str(error), where=f"{where}, principles", hint=_HINT) from None
    if value is None or value == "":
        return ()
    items = [value] if isinstance(value, str | Mapping) else value
    if not isinstance(items, list | tuple):
        raise DataError(f"is a {type(items).__name__}, not a list", where=f"{where}, principles", hint=_HINT)
    found: list[Principle | str] = []
    problems: list[str] = []
    for index, item in enumerate(items):
        try:
            found.append(_one(item))
        except ValidationError as error:
            problems += [f"[{index}]{'.' * bool(p.where)}{p.where}: {p.message}" for p in problems_of(error, "")]
        except ValueError as error:
            problems.append(f"[{index}]: {error}")
    names = [each if isinstance(each, str) else each.name for each in found]
    problems += [f"{name!r} is given twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if problems:
        raise DataError("; ".join(problems), where=f"{where}, principles", hint=_HINT)
    return tuple(found)


def _one(item: Any) -> Principle | str:
    if isinstance(item, str):
        return _text(item)
    if isinstance(item, Mapping):
        return _Own.model_validate(dict(item)).principle()
    raise ValueError(f"is a {type(item).__name__}, neither a text nor an object")
