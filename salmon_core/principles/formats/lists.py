"""Lists of objects or texts: one principle each."""

from __future__ import annotations

from typing import Any

from salmon_core.data.validation import shown
from salmon_core.principles.formats.content import Content
from salmon_core.principles.formats.items import (
    STRUCTURED,
    Format,
    Item,
    Keys,
    Reading,
    listing,
    read_heading,
    read_objects,
    some_have,
)


def _of_objects(name: str, summary: str, marks: tuple[str, ...], keys: Keys) -> Format:
    """A format of objects that is known by some of their keys."""

    def recognises(content: Content) -> bool:
        return some_have(listing(content)[0], *marks)

    def read(content: Content) -> Reading:
        reading = Reading(content)
        values, key = listing(content)
        read_heading(content, reading, key)
        reading.items = read_objects(values, key, reading, keys)
        return reading

    return Format(name, summary, STRUCTURED, recognises, read)


SALMON_JSON = _of_objects(
    "salmon-json",
    "SALMON's published files: a list of {dimension, definition, negative_definition or weight}",
    ("dimension", "definition"),
    Keys(("definition",), ("dimension",), negated=("negative_definition",), exact=True),
)
REQUIREMENTS = _of_objects(
    "requirements", "a list of {weight, requirement}", ("requirement",), Keys(("requirement",), ("title", "name"))
)
NAMED = _of_objects(
    "named",
    "a list of {name, description, weight, negative}",
    ("name", "description"),
    Keys(("description",), ("title", "name")),
)
TITLED = _of_objects(
    "titled", "a list of {title, description, weight}", ("title", "description"), Keys(("description",), ("title",))
)
OURS = _of_objects(
    "salmon",
    "salmon's own keys, in JSON or TOML: {principles: [{name, text, negated, weight, tags, title}]}",
    ("name", "text"),
    Keys(("text",), ("title", "name"), exact=True),
)


def _texts(content: Content) -> list[Any]:
    return listing(content)[0]


def _is_texts(content: Content) -> bool:
    return any(isinstance(each, str) for each in _texts(content))


def _read_texts(content: Content) -> Reading:
    reading = Reading(content)
    values, key = listing(content)
    read_heading(content, reading, key)
    for index, value in enumerate(values):
        place = f"{key}[{index}]"
        if isinstance(value, str) and value.strip():
            reading.items.append(Item(content.place(place), value.strip(), value))
        else:
            reading.lost(place, f"is no text: {shown(value)}", item=True)
    return reading


TEXTS = Format("texts", "a list of texts in JSON, YAML or TOML", STRUCTURED, _is_texts, _read_texts)
