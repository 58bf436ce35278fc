"""Markup that cannot be forged: only `tag` makes it, and whatever else stands in one is text, shown for what it is."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from salmon_view.visible import visible

#: elements without content; those of drawings have to be closed
_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
_DRAWN = frozenset({"line", "rect", "circle", "path"})


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


def exact(text: str) -> Html:
    """A text as it is, for fields in which it is changed and sent back."""
    return Html(escape(text, quote=False))


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
