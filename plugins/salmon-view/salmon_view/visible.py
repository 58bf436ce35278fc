"""Characters that nobody sees, or that change how others are shown, made visible."""

from __future__ import annotations

import unicodedata

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
