"""All formats, and which of them a file is in."""

from __future__ import annotations

from pathlib import Path

from salmon_core.data.text import read_text
from salmon_core.data.validation import did_you_mean, shown
from salmon_core.errors import ConfigError, Problem
from salmon_core.principles.formats.constitution import CONSTITUTION
from salmon_core.principles.formats.content import Content, contents
from salmon_core.principles.formats.criteria import CRITERIA
from salmon_core.principles.formats.items import Format, Reading
from salmon_core.principles.formats.lists import NAMED, OURS, REQUIREMENTS, SALMON_JSON, TEXTS, TITLED
from salmon_core.principles.formats.markdown import BULLETS, SECTIONS
from salmon_core.principles.formats.per_prompt import PER_PROMPT
from salmon_core.principles.formats.plain import PLAIN
from salmon_core.principles.formats.scales import SCALES

#: the first that recognises a file reads it: those that ask for more come before those that ask for less
FORMATS: tuple[Format, ...] = (
    PER_PROMPT,
    SALMON_JSON,
    CONSTITUTION,
    CRITERIA,
    SCALES,
    REQUIREMENTS,
    OURS,
    NAMED,
    TITLED,
    TEXTS,
    SECTIONS,
    BULLETS,
    PLAIN,
)
NAMES = tuple(each.name for each in FORMATS)
_KNOWN = f"known are {', '.join(NAMES)}: `salmon principles import --list-formats` shows them"


def read_foreign(path: Path, name: str | None = None) -> tuple[Format, Reading]:
    """A file by the first format that recognises it.

    Args:
        name: the format that it is read in, whatever it looks like.

    Raises:
        ConfigError: the file cannot be read, is in no known format, or holds no principle that can be mapped.
    """
    known = _named(name) if name is not None else None
    text = read_text(path)
    if not text.strip():
        raise ConfigError([Problem(str(path), "is empty", _KNOWN)])
    ways = list(contents(path, text))
    if known is not None:
        content = next((each for each in ways if each.kind in known.kinds), None)
        if content is None and "text" in known.kinds:
            content = Content(path, "text", text)
        if content is None:
            raise ConfigError([Problem(str(path), f"is not written as {known.name} is: {known.summary}", _KNOWN)])
        return known, _checked(known, content)
    for content in ways:
        for each in FORMATS:
            if content.kind in each.kinds and each.recognises(content):
                return each, _checked(each, content)
    raise ConfigError([Problem(str(path), f"is in no format that is known: {_looks(ways[0])}", _KNOWN)])


def _named(name: str) -> Format:
    for each in FORMATS:
        if each.name == name:
            return each
    raise ConfigError([Problem("--format", f"there is no format {name!r}{did_you_mean(name, NAMES)}", _KNOWN)])


def _checked(chosen: Format, content: Content) -> Reading:
    if chosen is OURS and content.kind == "yaml":
        hint = f"name {content.path.name} where a set is asked for, as in `salmon principles show {content.path.name}`"
        raise ConfigError([Problem(str(content.path), "is a principle set as salmon reads it already", hint)])
    reading = chosen.read(content)
    if not reading.items and not any(row.items for row in reading.rows or ()):
        found = "; ".join(f"{each.where}: {each.what}".removeprefix(": ") for each in reading.unmapped[:3])
        message = f"has no principle that can be read as {chosen.name}" + (f": {found}" if found else "")
        raise ConfigError([Problem(str(content.path), message, f"--format says which it is; {_KNOWN}")])
    return reading


def _looks(content: Content) -> str:
    """What a file holds, in words."""
    values = content.values
    if isinstance(values, dict):
        keys = ", ".join(map(repr, list(values)[:6])) or "no keys"
        return f"it is an object with {keys}"
    if isinstance(values, list):
        first = values[0] if values else None
        if isinstance(first, dict):
            keys = ", ".join(map(repr, list(first)[:6])) or "no keys"
            return f"it is a list of objects with {keys}"
        return f"it is a list, beginning with {shown(first)}" if values else "it is an empty list"
    return "it is a text" if content.kind == "text" else f"it is {shown(values)}"
