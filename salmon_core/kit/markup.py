"""For plugins that serve pages: markup that cannot be forged, and texts of models shown for what they are.

Only `tag` makes markup; whatever else stands in an element is text, with every character to be seen.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from html import escape
from typing import TypeAlias

#: elements without content; those of drawings have to be closed
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
_DRAWN = frozenset({"line", "rect", "circle", "path"})
#: control characters that lay out text
_KEPT = frozenset("\n\t")
#: categories that are invisible, or change how others are shown: controls, formats (bidirectional ones among them),
#: surrogates, private use, unassigned, line and paragraph separators
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: joiners that scripts and emoji need
_JOINERS = frozenset("\u200c\u200d\ufe0f")


class Html(str):
    """Markup; any other string is text and gets escaped."""

    __slots__ = ()


Node: TypeAlias = "str | int | float | Iterable[Node] | None"
Attribute: TypeAlias = str | int | float | bool | None


def markup(*nodes: Node) -> Html:
    """Markup of nodes after each other."""
    parts: list[str] = []
    _put(nodes, parts)
    return Html("".join(parts))


def tag(name: str, /, *children: Node, **attributes: Attribute) -> Html:
    """An element.

    Args:
        name: trusted.
        children: markup, texts, numbers, and lists of them; None is nothing.
        attributes: by trusted name; `_` stands for `-`, and one at the end is left out (`class_`). True is an attribute
            without a value, False and None are none.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        own = key.rstrip("_").replace("_", "-")
        parts.append(f" {own}" if value is True else f' {own}="{escape(str(value), quote=True)}"')
    parts.append("/>" if name in _DRAWN else ">")
    if name not in _VOID and name not in _DRAWN:
        _put(children, parts)
        parts.append(f"</{name}>")
    return Html("".join(parts))


def exact(text: str) -> Html:
    """A text as it is, for fields in which it is changed and sent back."""
    return Html(escape(text, quote=False))


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


def _put(nodes: Iterable[Node], parts: list[str]) -> None:
    for node in nodes:
        if node is None:
            continue
        if isinstance(node, Html):
            parts.append(node)
        elif isinstance(node, str | int | float):
            parts.append(escape(visible(str(node)), quote=False))
        else:
            _put(node, parts)
