"""Markdown: a principle for each bullet, or for each heading with a text below it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from salmon_core.principles.formats.content import Content
from salmon_core.principles.formats.frames import sentences
from salmon_core.principles.formats.items import Format, Item, Reading
from salmon_core.principles.salmon_json import slug

HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)\s*#*\s*")
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?(.*)")
_RULE = re.compile(r"\s*(?:[-*_=]\s*){3,}")
_FENCE = re.compile(r"\s*(```|~~~)")
_BOLD = re.compile(r"(\*\*|__)(?P<title>[^*_\n]{1,120}?)\s*[:.]?\s*\1\s*[:.\u2013\u2014-]?\s*(?P<text>.*)", re.S)


@dataclass(frozen=True)
class Block:
    """A heading, a bullet with its further lines, a paragraph, or a block of code.

    Attributes:
        line: its first, from 1.
        level: of a heading, 1 to 6; otherwise 0.
    """

    kind: Literal["heading", "bullet", "text", "code"]
    text: str
    line: int
    level: int = 0


def blocks(text: str) -> list[Block]:
    """All blocks of a Markdown text, in order."""
    found: list[Block] = []
    open_block = fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if fenced or _FENCE.match(line):
            if fenced:
                found[-1] = replace(found[-1], text=f"{found[-1].text}\n{line}")
            else:
                found.append(Block("code", line, number))
            if _FENCE.match(line):
                fenced = not fenced
            open_block = False
        elif not line.strip() or (_RULE.fullmatch(line) and not _BULLET.match(line)):
            open_block = False
        elif heading := HEADING.fullmatch(line):
            if heading[2]:
                found.append(Block("heading", heading[2], number, len(heading[1])))
            open_block = False
        elif _RULE.fullmatch(line):
            open_block = False
        elif bullet := _BULLET.fullmatch(line):
            found.append(Block("bullet", bullet[1].strip(), number))
            open_block = True
        elif open_block or (line[:1] in " \t" and found and found[-1].kind == "bullet"):
            found[-1] = replace(found[-1], text=f"{found[-1].text} {line.strip()}".strip())
            open_block = True
        else:
            found.append(Block("text", line.strip(), number))
            open_block = True
    return found


@dataclass(frozen=True)
class _Section:
    """A heading with what stands below it up to the next one; `heading` is None before the first."""

    heading: Block | None
    body: tuple[Block, ...]
    leaf: bool

    @property
    def stated(self) -> bool:
        """Whether its text begins with a paragraph."""
        return self.heading is not None and bool(self.body) and self.body[0].kind == "text"


def _sections(found: Sequence[Block]) -> list[_Section]:
    starts = [index for index, block in enumerate(found) if block.kind == "heading"]
    sections = [_Section(None, tuple(found[: starts[0]] if starts else found), leaf=False)]
    for start, end in zip(starts, [*starts, len(found)][1:], strict=True):
        leaf = end == len(found) or found[end].level <= found[start].level
        sections.append(_Section(found[start], tuple(found[start + 1 : end]), leaf))
    return sections


def _is_title(section: _Section, sections: Sequence[_Section]) -> bool:
    """Whether it is the document's title: the first heading, above all others."""
    headings = [each.heading for each in sections if each.heading is not None]
    first = headings[0]
    return section.heading is first and all(first.level < other.level for other in headings[1:]) and len(headings) > 1


def _recognises_sections(content: Content) -> bool:
    found = blocks(content.text)
    sections = _sections(found)
    stated = [each for each in sections if each.leaf and each.stated]
    bullets = any(block.kind == "bullet" for block in found)
    begun = sum(each.leaf and bool(each.body) and each.body[0].kind == "bullet" for each in sections)
    return len(stated) > begun and (len(stated) > 1 or not bullets)


def _recognises_bullets(content: Content) -> bool:
    found = blocks(content.text)
    bullets = sum(block.kind == "bullet" for block in found)
    return bullets > 0 and (any(block.kind == "heading" for block in found) or 2 * bullets >= len(found))


def _read_sections(content: Content) -> Reading:
    reading = Reading(content)
    sections = _sections(blocks(content.text))
    for block in sections[0].body:
        _lost(reading, block, "stands before the first heading")
    for section in sections[1:]:
        heading = section.heading
        assert heading is not None
        if _is_title(section, sections) and not (section.body and section.body[0].kind != "text"):
            reading.name = heading.text
            reading.description = section.body[0].text if section.body else ""
            for block in section.body[1:]:
                _lost(reading, block, "stands below the title and is no principle")
        elif section.stated:
            _read_section(section, heading, reading)
        elif section.leaf:
            _lost(reading, heading, "a heading without a paragraph below it")
            for block in section.body:
                _lost(reading, block, "stands below a heading without a paragraph")
        else:
            _lost(reading, heading, "a heading that only holds other headings", item=False)
            for block in section.body:
                _lost(reading, block, "stands below a heading that only holds other headings")
    return reading


def _read_section(section: _Section, heading: Block, reading: Reading) -> None:
    first, *further = sentences(section.body[0].text) or [""]
    source = "\n".join([heading.text, *(block.text for block in section.body)])
    where = f"line {heading.line}"
    reading.items.append(Item(where, first, source, heading.text))
    if further or len(section.body) > 1:
        line = section.body[0].line if further else section.body[1].line
        reading.lost(f"line {line}", "what follows the first sentence of a section (kept in `source`)")


def _read_bullets(content: Content) -> Reading:
    reading = Reading(content)
    sections = _sections(blocks(content.text))
    above: list[Block] = []  # the headings that a section stands below, its own last
    for section in sections:
        title = False
        if (heading := section.heading) is not None:
            title = _is_title(section, sections) or len(sections) == 2
            above = [each for each in above if each.level < heading.level] + ([] if title else [heading])
            if title:
                reading.name = heading.text
            elif section.leaf and not section.body:
                _lost(reading, heading, "a heading without bullets")
        tags = tuple(slug(each.text) for each in above)
        for index, block in enumerate(section.body):
            if block.kind == "bullet":
                _read_bullet(block, tags, reading)
            elif index == 0 and title and block.kind == "text":
                reading.description = block.text
            else:
                _lost(reading, block, "is no bullet")
    return reading


def _read_bullet(block: Block, tags: tuple[str, ...], reading: Reading) -> None:
    where, title, text = f"line {block.line}", "", block.text
    if (bold := _BOLD.fullmatch(text)) and bold["title"].strip() and bold["text"].strip():
        title, text = bold["title"].strip(), bold["text"].strip()
    if not text.strip():
        reading.lost(where, "an empty bullet", item=True)
        return
    reading.items.append(Item(where, text, block.text, title, tags=tags))


def _lost(reading: Reading, block: Block, what: str, *, item: bool = True) -> None:
    reading.lost(f"line {block.line}", what, item=item)


SECTIONS = Format(
    "markdown-sections",
    "Markdown with a heading and a paragraph for each principle",
    ("text",),
    _recognises_sections,
    _read_sections,
)
BULLETS = Format("markdown-bullets", "Markdown or text with a bullet for each principle", ("text",),
                 _recognises_bullets, _read_bullets)  # fmt: skip
