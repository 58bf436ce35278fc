"""Constitutions of critique and revision: a model criticises its answer, then rewrites it.

What a principle says of an answer is taken from the request to rewrite it; the request to criticise is kept in
`source`.
"""

from __future__ import annotations

import re

from salmon_core.data.validation import shown
from salmon_core.principles.formats.content import Content
from salmon_core.principles.formats.items import STRUCTURED, Fields, Format, Item, NotMapped, Reading, read_heading

_CRITIC = ("critic", "critique", "critique_request")
_REVISION = ("revision", "revision_request")
_REWRITE = (
    r"(?:please\s+)?(?:re-?write|revise|edit|change|rephrase|reword)\s+(?:the|your|this)\s+(?:[\w'’-]+\s+){0,3}?"
    r"(?:response|answer|reply)\s*,?\s+"
)
_OPENING = re.compile(_REWRITE, re.I)
_SO_THAT = re.compile(_REWRITE + r"(?:so\s+that\s+it|such\s+that\s+it|to\s+(?=be\s))\s*(?P<rest>[^.!?]+)[.!]?", re.I)
_REMOVE = re.compile(
    _REWRITE + r"(?:to|and)\s+remove\s+(?:any\s+and\s+all\s+|any\s+|all\s+)?(?P<rest>[^.!?,]+(?:,[^.!?]+)?)[.!]?", re.I
)
_READY = "The response leaves nothing to do for this request: {revision}"
_NOT_READY = "The response still needs what this request asks for: {revision}"


def _listed(content: Content) -> tuple[list[object], str]:
    values = content.values
    if isinstance(values, dict):
        return (values["constitutions"], "constitutions") if isinstance(values.get("constitutions"), list) else ([], "")
    return (values, "") if isinstance(values, list) else ([], "")


def _recognises(content: Content) -> bool:
    return any(
        isinstance(each, dict) and any(key in each for key in _CRITIC) and any(key in each for key in _REVISION)
        for each in _listed(content)[0]
    )


def _read(content: Content) -> Reading:
    reading = Reading(content)
    values, key = _listed(content)
    read_heading(content, reading, key)
    for index, value in enumerate(values):
        place = f"{key}[{index}]"
        if not isinstance(value, dict):
            reading.lost(place, f"is no object: {shown(value)}", item=True)
            continue
        fields = Fields(value, place, reading)
        critic, revision = fields.text(*_CRITIC), fields.text(*_REVISION)
        if not revision:
            reading.lost(place, "has no request to revise", item=True)
            continue
        text, negated = _statements(revision := " ".join(revision.split()))
        try:
            weight, title = fields.number("weight"), fields.label("title", "name")
        except NotMapped as error:
            reading.lost(place, str(error), item=True)
            continue
        where = content.place(place)
        source = fields.source() if critic else revision
        tags = fields.tags("tags")
        called = "" if text != _READY.format(revision=revision) else _OPENING.sub("", revision)
        reading.items.append(Item(where, text, source, title, negated, weight, tags=tags, exact=True, called=called))
        fields.rest()
    return reading


def _statements(revision: str) -> tuple[str, str | None]:
    """What a response is like that needs no such revision; and one that does."""
    if found := _SO_THAT.fullmatch(revision):
        rest = re.sub(r"^be\s+", "is ", found["rest"].strip())
        return f"The response {rest}.", None
    if found := _REMOVE.fullmatch(revision):
        return f"The response is free of {found['rest'].strip()}.", f"The response contains {found['rest'].strip()}."
    return _READY.format(revision=revision), _NOT_READY.format(revision=revision)


CONSTITUTION = Format(
    "constitution",
    "critique and revision: {constitutions: [{critic, revision}]}",
    STRUCTURED,
    _recognises,
    _read,
)
