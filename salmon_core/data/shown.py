"""Principles as rows of data say them: by the name in a set, as a text, or as an object with both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from salmon_core.api.principles import Principle
from salmon_core.data.readers import parse_json
from salmon_core.data.validation import did_you_mean
from salmon_core.errors import DataError
from salmon_core.records import ShownPrinciple

#: before a name: its negated text
NOT = "not "
#: characters of a text that stand for its name
_NAME = 48


def shown_principles(value: Any, known: Sequence[Principle], where: str) -> tuple[ShownPrinciple, ...]:
    """A cell as the principles shown: one, or a list of them, which in CSV is written as JSON; nothing is none.

    A principle is a name of `known`, `not NAME` for its negated text, a text of several words, or
    `{name, text, negated}`.

    Raises:
        DataError: a name that is not known, or something else.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(value)
        except ValueError as error:
            raise DataError(f"principles: {error}", where=where) from None
    if value is None or value == "":
        return ()
    items = value if isinstance(value, list | tuple) else [value]
    by_name = {principle.name: principle for principle in known}
    return tuple(_shown(item, by_name, where) for item in items)


def _shown(item: Any, known: Mapping[str, Principle], where: str) -> ShownPrinciple:
    if isinstance(item, Mapping):
        name, text, negated = item.get("name"), item.get("text"), item.get("negated") or False
        if isinstance(text, str) and isinstance(negated, bool) and (name is None or isinstance(name, str)):
            return ShownPrinciple(name or _short(text), text, negated)
        if text is None and isinstance(name, str) and isinstance(negated, bool):
            item = NOT * negated + name
    if not isinstance(item, str) or not item.strip():
        raise DataError(f"a principle is a name, a text or {{name, text, negated}}, not {item!r:.80}", where=where)
    text = item.strip()
    if text in known:
        return known[text].shown()
    name = text.removeprefix(NOT)
    if name in known:
        try:
            return known[name].shown(negated=True)
        except ValueError as error:
            raise DataError(str(error), where=where) from None
    if len(name.split()) == 1:
        raise DataError(
            f"there is no principle {name!r}{did_you_mean(name, known)}",
            where=where,
            hint="known are those of judge.principles and reward.principles; a text of one's own has several words",
        )
    return ShownPrinciple(_short(text), text)


def _short(text: str) -> str:
    return " ".join(text.split())[:_NAME]
