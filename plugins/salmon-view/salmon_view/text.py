"""Texts of models, which are not to be trusted, as they are shown: every character seen for what it is."""

from __future__ import annotations

from salmon_core.kit.markup import Html, tag, visible

#: characters of a text that a page shows; of a line in a table
LONG, LINE = 20_000, 160


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
    shown = tag("pre", text[:limit], class_="text", dir="auto")
    if not cut:
        return shown
    said = f"the first {limit:,} of {len(text):,} characters"
    return tag(
        "div",
        shown,
        tag("p", said, "; " if whole else "", tag("a", "the whole text", href=whole) if whole else None, class_="note"),
    )
