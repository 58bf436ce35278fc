"""Plain text: a principle in each line, or in each paragraph."""

from __future__ import annotations

import re

from salmon_core.principles.formats.content import Content
from salmon_core.principles.formats.items import Format, Item, Reading
from salmon_core.principles.formats.markdown import HEADING

_ENDED = re.compile(r"[.!?:;][\"'”’)\]]*\s*$")


def _recognises(content: Content) -> bool:
    return bool(content.text.strip())


def _read(content: Content) -> Reading:
    reading = Reading(content)
    paragraphs = _paragraphs(content.text)
    if _wrapped(paragraphs):
        found = [(lines[0][0], " ".join(line for _, line in lines)) for lines in paragraphs]
    else:
        found = [each for lines in paragraphs for each in lines]
    for number, text in found:
        if HEADING.fullmatch(text):
            reading.lost(f"line {number}", "a heading without a text below it", item=True)
        else:
            reading.items.append(Item(f"line {number}", text, text))
    return reading


def _paragraphs(text: str) -> list[list[tuple[int, str]]]:
    """Lines with their numbers, in groups that blank lines divide."""
    groups: list[list[tuple[int, str]]] = [[]]
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            groups[-1].append((number, line.strip()))
        elif groups[-1]:
            groups.append([])
    return [group for group in groups if group]


def _wrapped(paragraphs: list[list[tuple[int, str]]]) -> bool:
    """Whether a principle goes on in the next line: some paragraph has a line that does not end a sentence."""
    return len(paragraphs) > 1 and any(not _ENDED.search(line) for lines in paragraphs for _, line in lines[:-1])


PLAIN = Format("text", "a principle in each line, or in each paragraph", ("text",), _recognises, _read)
