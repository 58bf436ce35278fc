"""Criteria of graders: `{criteria: [...]}`, with sections and criteria below criteria."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from salmon_core.data.validation import shown
from salmon_core.principles.formats.content import Content
from salmon_core.principles.formats.items import STRUCTURED, Fields, Format, Item, NotMapped, Reading
from salmon_core.principles.formats.scales import order

#: lists of criteria, and of what holds some
_CRITERIA = ("criteria", "subcriteria", "sub_criteria")
_SECTIONS = ("sections", "categories", "groups")
_TITLE = ("title", "name", "criterion_id", "id")
_TEXT = ("text", "description", "criterion", "definition", "question", "requirement")
_ANCHORS = ("anchors", "choices", "levels", "scale", "scoring", "scores")


def _recognises(content: Content) -> bool:
    values = content.values
    return isinstance(values, dict) and any(
        isinstance(values.get(key), list) and any(isinstance(each, dict) for each in values[key])
        for key in (*_CRITERIA, "sections")
    )


def _read(content: Content) -> Reading:
    reading = Reading(content)
    values = content.values if isinstance(content.values, dict) else {}
    fields = Fields(values, "", reading)
    reading.name, reading.description = fields.text("name", "title"), fields.text("description")
    _below(values, fields, "", (), reading)
    fields.rest("a principle set")
    return reading


def _below(values: dict[str, Any], fields: Fields, key: str, tags: tuple[str, ...], reading: Reading) -> bool:
    """Goes through what lists below an object hold; whether there is any."""
    found = False
    for name in (*_CRITERIA, *_SECTIONS):
        if isinstance(values.get(name), list) and fields.take(name):
            found = True
            for index, each in enumerate(values[name]):
                place = f"{key}.{name}[{index}]" if key else f"{name}[{index}]"
                if not isinstance(each, dict):
                    reading.lost(place, f"is no object: {shown(each)}", item=True)
                elif name in _SECTIONS:
                    _section(each, place, tags, reading)
                else:
                    _criterion(each, place, tags, reading)
    return found


def _section(values: dict[str, Any], key: str, tags: tuple[str, ...], reading: Reading) -> None:
    """A heading with criteria below it, each of which gets it as a tag."""
    fields = Fields(values, key, reading)
    title = fields.label(*_TITLE)
    if not _below(values, fields, key, (*tags, title) if title else tags, reading):
        reading.lost(key, "is a section without criteria", item=True)
    fields.rest("a section")


def _criterion(values: dict[str, Any], key: str, tags: tuple[str, ...], reading: Reading) -> None:
    """A criterion; one with others below it is only a heading for them."""
    fields = Fields(values, key, reading)
    title = fields.label(*_TITLE)
    if _below(values, fields, key, (*tags, title) if title else tags, reading):
        fields.rest("what only holds other criteria")
        return
    text = fields.text(*_TEXT)
    anchors = fields.take(*_ANCHORS)
    levels = None if anchors is None else order(_pairs(anchors))
    negated = fields.text("negated") or None
    if anchors is not None:
        if levels is None:
            reading.lost(key, "its anchors have no order that can be told (numbers as labels would do)")
        else:
            best, worst = levels[-1][1], levels[0][1]
            text = text or best
            negated = negated or (worst if len(levels) > 1 else None)
            if (between := len(levels) - 2) > 0:
                reading.lost(key, f"{between} of its anchors lie between the ends (kept in `source`)")
    if not text and title and len(title.split()) > 2:
        text = title
    if not text:
        reading.lost(key, "has no text", item=True)
        return
    try:
        weight, negative = fields.number("weight", "points"), fields.flag("negative")
        veto = fields.flag("veto")
    except NotMapped as error:
        reading.lost(key, str(error), item=True)
        return
    tags += fields.tags("tags")
    where = reading.content.place(key)
    reading.items.append(Item(where, text, fields.source(), title, negated, weight, negative, tags, veto=veto))
    fields.rest()


def _pairs(anchors: Any) -> Iterator[tuple[Any, str]]:
    """(label or score, meaning) of anchors, as an object or a list of objects."""
    if isinstance(anchors, dict):
        yield from ((label, meaning) for label, meaning in anchors.items() if isinstance(meaning, str))
    elif isinstance(anchors, list):
        for each in anchors:
            if isinstance(each, dict):
                label = next((each[k] for k in ("score", "value", "points", "level", "label") if k in each), None)
                said = ("description", "text", "meaning", "label", "name")
                meaning = next((each[k] for k in said if isinstance(each.get(k), str) and each[k] != label), None)
                if label is not None and meaning is not None:
                    yield label, meaning


CRITERIA = Format(
    "criteria",
    "{criteria: [{name or criterion_id, text or description, weight, choices or anchors}]}, with sections, subcriteria",
    STRUCTURED,
    _recognises,
    _read,
)
