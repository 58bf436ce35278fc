"""Texts of models, which are not to be trusted, as they are shown: every character seen for what it is."""

from __future__ import annotations

import unicodedata

from salmon_view.html import Html, tag

#: characters of a text that a page shows; of a line in a table
LONG, LINE = 20_000, 160
#: control characters that lay out text
_KEPT = frozenset("\n\t")
#: categories that are invisible, or change how others are shown: controls, formats (bidirectional ones among them),
#: surrogates, private use, unassigned, line and paragraph separators
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: joiners that scripts and emoji need
_JOINERS = frozenset("\u200c\u200d\ufe0f")


def visible(text: str) -> str:
    """The text with what steers a terminal or turns it round made visible: `\\x1b` as `␛`, U+202E as `[U+202E]`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in _KEPT or each in _JOINERS else _shown(each) for each in text)


def _shown(each: str) -> str:
    number = ord(each)
    if number < 0x20:
        return chr(0x2400 + number)
    if number == 0x7F:
        return "\u2421"
    if unicodedata.category(each) in _UNSEEN:
        return f"[U+{number:04X}]"
    return each


def line(text: str, limit: int = LINE) -> str:
    """In one line, cut."""
    head = " ".join(visible(text[: 4 * limit]).split())
    return head if len(head) <= limit and len(text) <= 4 * limit else f"{head[:limit].rstrip()}…"


def block(text: str, *, whole: str | None = None, limit: int = LONG) -> Html:
    """A text as a block that keeps its lines, isolated from the direction of what is around it.

    Args:
        whole: address of the whole text, offered where it is cut.
    """
    cut = len(text) > limit
    shown = tag("pre", visible(text[:limit]), class_="text", dir="auto")
    if not cut:
        return shown
    said = f"the first {limit:,} of {len(text):,} characters"
    return tag(
        "div",
        shown,
        tag("p", said, "; " if whole else "", tag("a", "the whole text", href=whole) if whole else None, class_="note"),
    )
