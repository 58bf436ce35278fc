"""Scales: what is graded, and what each grade means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from salmon_core.principles.formats.content import Content
from salmon_core.principles.formats.items import STRUCTURED, Fields, Format, Item, NotMapped, Reading

_SCORING = ("scoring", "scores", "scale", "levels")
#: labels in words, from worst to best
_WORDS = (
    ("no", "partly", "partially", "mostly", "yes"),
    ("fail", "pass"),
    ("false", "true"),
    ("incorrect", "partially correct", "correct"),
    ("never", "rarely", "sometimes", "often", "always"),
    ("low", "medium", "high"),
    ("very poor", "poor", "fair", "average", "good", "very good", "excellent"),
    ("f", "e", "d", "c", "b", "a"),
)


def order(levels: Iterable[tuple[Any, str]]) -> list[tuple[Any, str]] | None:
    """(label, meaning) from the worst to the best, by labels that are numbers or known words; None where they are not.

    Of numbers the largest is the best.
    """
    found = [(label, meaning.strip()) for label, meaning in levels if meaning.strip()]
    if not found:
        return None
    for rank in (_number, *(_rank(words) for words in _WORDS)):
        ranks = [rank(label) for label, _ in found]
        if None not in ranks and len(set(ranks)) == len(ranks):
            return [level for _, level in sorted(zip(ranks, found, strict=True), key=lambda each: each[0] or 0.0)]
    return None


def _number(label: Any) -> float | None:
    if isinstance(label, bool):
        return float(label)
    try:
        number = float(str(label).strip())
    except ValueError:
        return None
    return number if number == number else None


def _rank(words: tuple[str, ...]) -> Any:
    return lambda label: float(words.index(low)) if (low := str(label).strip().lower()) in words else None


def _is_scale(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(key), dict) for key in _SCORING)


def _scales(content: Content) -> Iterator[tuple[str, Any, str]]:
    """(key, scale, its name) of each: the file is one, a list of them, or an object of them."""
    values = content.values
    if _is_scale(values):
        yield "", values, ""
    elif isinstance(values, list):
        yield from ((f"[{index}]", each, "") for index, each in enumerate(values))
    elif isinstance(values, dict):
        yield from ((key, each, key) for key, each in values.items() if isinstance(each, dict))


def _recognises(content: Content) -> bool:
    return any(_is_scale(each) for _, each, _ in _scales(content))


def _read(content: Content) -> Reading:
    reading = Reading(content)
    for key, value, name in _scales(content):
        if isinstance(value, dict):
            _read_one(value, key, name, reading)
        else:
            reading.lost(key, "is no scale", item=True)
    if isinstance(content.values, dict) and not _is_scale(content.values):
        others = {key: each for key, each in content.values.items() if not isinstance(each, dict)}
        fields = Fields(others, "", reading)
        reading.name, reading.description = fields.text("name", "title"), fields.text("description")
        fields.rest("a principle set")
    return reading


def _read_one(values: dict[str, Any], key: str, name: str, reading: Reading) -> None:
    fields = Fields(values, key, reading)
    title = fields.label("title", "name") or name
    description = fields.text("description", "text", "question", "definition")
    scoring = fields.take(*_SCORING)
    pairs = scoring.items() if isinstance(scoring, dict) else ()
    levels = order((label, meaning) for label, meaning in pairs if isinstance(meaning, str))
    where = reading.content.place(key) or "the whole file"
    if levels is None:
        reading.lost(key or "scoring", "its labels have no order that can be told (numbers would do)", item=True)
        return
    best, worst = levels[-1][1], levels[0][1]
    before = description.rstrip().rstrip(":") + " " if description else ""
    text = f"{before}At its best: {best}" if before else best
    negated = None
    if len(levels) > 1:
        negated = f"{before}At its worst: {worst}" if before else worst
    try:
        weight, negative = fields.number("weight"), fields.flag("negative")
    except NotMapped as error:
        reading.lost(key, str(error), item=True)
        return
    tags = fields.tags("tags")
    reading.items.append(Item(where, text, fields.source(), title, negated, weight, negative, tags, exact=True))
    if (between := len(levels) - 2) > 0:
        reading.lost(key or "scoring", f"{between} of its grades lie between the ends (kept in `source`)")
    fields.rest()


SCALES = Format(
    "scale", "{description, scoring: {label: meaning}}, one, or several by name", STRUCTURED, _recognises, _read
)
