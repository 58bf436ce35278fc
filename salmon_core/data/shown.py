"""Principles as rows of data say them: by the name in a set, as a text, or as an object with both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from salmon_core.api.principles import Principle
from salmon_core.data.own_principles import name_of
from salmon_core.data.readers import parse_json
from salmon_core.data.validation import did_you_mean
from salmon_core.errors import DataError
from salmon_core.records import ShownPrinciple

#: before a name: its negated text
NOT = "not "


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
    labelled = by_label(known)
    return tuple(shown_as(item, labelled, where) for item in items)


def by_label(principles: Iterable[Principle]) -> dict[str, ShownPrinciple]:
    """Principles as they may be shown, by their name in a breakdown: `NAME`, `not NAME`."""
    found: dict[str, ShownPrinciple] = {}
    for principle in principles:
        found[principle.name] = principle.shown()
        if principle.negated is not None:
            found[NOT + principle.name] = principle.shown(negated=True)
    return found


def shown_by(known: Mapping[str, ShownPrinciple], text: str, where: str) -> ShownPrinciple:
    """What a text stands for: a principle that is known by this name, or one in these words.

    Args:
        known: as `by_label` gives them.

    Raises:
        DataError: a name that is not known; a text of one's own has several words.
    """
    text = text.strip()
    if text in known:
        return known[text]
    name = text.removeprefix(NOT)
    if name in known:
        raise DataError(f"principle {name!r} has no negated text", where=where)
    if len(name.split()) != 1:
        return ShownPrinciple(name_of(text), text)
    some = ", ".join(list(known)[:12]) or "none"
    raise DataError(
        f"there is no principle {text!r:.80}{did_you_mean(text, known)}",
        where=where,
        hint=f"known are {some}; a text of several words is a principle in these words",
    )


def shown_as(item: Any, known: Mapping[str, ShownPrinciple], where: str) -> ShownPrinciple:
    """A name, a text, or an object, as it is shown; see `shown_by`."""
    if isinstance(item, Mapping):
        name, text, negated = item.get("name"), item.get("text"), item.get("negated") or False
        if isinstance(text, str) and isinstance(negated, bool) and (name is None or isinstance(name, str)):
            return ShownPrinciple(name or name_of(text), text, negated)
        if text is None and isinstance(name, str) and isinstance(negated, bool):
            item = NOT * negated + name
    if not isinstance(item, str) or not item.strip():
        raise DataError(f"a principle is a name, a text or {{name, text, negated}}, not {item!r:.80}", where=where)
    return shown_by(known, item, where)
