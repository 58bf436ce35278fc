"""Rubrics for single prompts: rows of a prompt and the principles for answers to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from salmon_core.data.validation import shown
from salmon_core.principles.formats.content import Content
from salmon_core.principles.formats.items import STRUCTURED, Fields, Format, Item, Keys, Reading, Row, read_object

_PROMPT = ("prompt", "question", "messages")
_RUBRIC = ("rubrics", "rubric", "principles", "principle", "criteria")
_ID = ("id", "prompt_id", "question_id")
_KEYS = Keys(
    ("criterion", "description", "requirement", "text", "principle"),
    ("title", "name", "criterion_id"),
    ("points", "weight"),
)
_ROLES = ("system", "user", "assistant")


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and any(key in value for key in _PROMPT) and any(key in value for key in _RUBRIC)


def _rows(content: Content) -> Iterator[tuple[str, Any]]:
    values = content.values
    if _is_row(values):
        yield "", values
    elif isinstance(values, list):
        yield from ((f"[{index}]", each) for index, each in enumerate(values))
    elif isinstance(values, dict):
        for name, listed in values.items():
            if isinstance(listed, list):
                yield from ((f"{name}[{index}]", each) for index, each in enumerate(listed))


def _recognises(content: Content) -> bool:
    return any(_is_row(row) for _, row in _rows(content))


def _read(content: Content) -> Reading:
    reading = Reading(content, rows=[])
    assert reading.rows is not None
    for key, values in _rows(content):
        if isinstance(values, dict):
            if (row := _read_row(values, key, reading)) is not None:
                reading.rows.append(row)
        else:
            reading.lost(key, f"is no row: {shown(values)}", item=True)
    if isinstance(content.values, dict) and not _is_row(content.values):
        others = {key: each for key, each in content.values.items() if not isinstance(each, list)}
        Fields(others, "", reading).rest("a rubric file")
    return reading


def _read_row(values: dict[str, Any], key: str, reading: Reading) -> Row | None:
    fields = Fields(values, key, reading)
    prompt = _prompt(fields)
    rubric = fields.take(*_RUBRIC)
    name = next((each for each in _RUBRIC if values.get(each) is rubric), _RUBRIC[0])
    below = f"{key}.{name}" if key else name
    listed = rubric if isinstance(rubric, list) else [] if rubric is None else [rubric]
    if prompt is None:
        for index in range(max(1, len(listed))):
            reading.lost(f"{below}[{index}]", "its row has no prompt that can be read", item=True)
        return None
    items = []
    for index, value in enumerate(listed):
        place = f"{below}[{index}]" if isinstance(rubric, list) else below
        if isinstance(value, str) and value.strip():
            items.append(Item(reading.content.place(place), value.strip(), value))
        elif (item := read_object(value, place, reading, _KEYS)) is not None:
            items.append(item)
    identifier = fields.label(*_ID)
    fields.rest("a rubric file")
    if not listed:
        reading.lost(key, "has a prompt and no principles", item=True)
    return Row(reading.content.place(key) or "the whole file", prompt, tuple(items), identifier)


def _prompt(fields: Fields) -> str | tuple[dict[str, str], ...] | None:
    value = fields.take(*_PROMPT)
    if isinstance(value, str):
        return value if value.strip() else None
    if not isinstance(value, list) or not value:
        return None
    turns = []
    for turn in value:
        if not isinstance(turn, dict) or turn.get("role") not in _ROLES or not isinstance(turn.get("content"), str):
            return None
        turns.append({"role": turn["role"], "content": turn["content"]})
    return tuple(turns) if turns[-1]["role"] == "user" and turns[-1]["content"].strip() else None


PER_PROMPT = Format(
    "per-prompt",
    "rows of {prompt, rubrics: [{criterion, points, tags}]}, {question, rubric: [{title, description, weight}]} or"
    " {prompt, principle: text}",
    STRUCTURED,
    _recognises,
    _read,
)
