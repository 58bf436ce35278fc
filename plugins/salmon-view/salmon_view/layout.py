"""The frame around every page."""

from __future__ import annotations

from collections.abc import Sequence

from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_view.runs import ViewedRun

#: pages of a run: (last part of the address, title)
PAGES = (
    ("", "Overview"),
    ("rollouts", "Rollouts"),
    ("answers", "Before & after"),
    ("judge", "Judge"),
    ("reward", "Reward model"),
    ("steer", "Steer"),
    ("try", "Playground"),
)
_STATIC = "/static"


def page(runs: Sequence[ViewedRun], run: ViewedRun | None, current: str, title: str, *body: Node) -> Html:
    """A whole document.

    Args:
        run: that it is of; None: of all.
        current: part of its address.
    """
    live = run is not None and (run.summary.live or not run.loaded.is_set())
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · salmon"),
        tag("link", rel="icon", href="data:,"),
        tag("link", rel="stylesheet", href=f"{_STATIC}/uplot/uPlot.min.css"),
        tag("link", rel="stylesheet", href=f"{_STATIC}/view.css"),
        tag("script", src=f"{_STATIC}/uplot/uPlot.iife.min.js", defer=True),
        tag("script", src=f"{_STATIC}/view.js", defer=True),
    )
    main = tag("main", *body, id="main", tabindex="-1")
    skip = tag("a", "Skip to content", href="#main", class_="skip")
    content = tag("body", skip, _header(runs, run, current), main, data_watch=live or None)
    return markup(Html("<!doctype html>"), tag("html", head, content, lang="en"))


def _header(runs: Sequence[ViewedRun], run: ViewedRun | None, current: str) -> Html:
    items: list[Node] = []
    if run is not None:
        for part, title in PAGES:
            href = f"{run.home}/{part}" if part else run.home
            items.append(tag("li", tag("a", title, href=href, aria_current="page" if part == current else None)))
    if len(runs) > 1:
        items.append(tag("li", tag("a", "Compare", href="/compare", aria_current="page" if run is None else None)))
    who: Node = "salmon"
    if len(runs) == 1 and run is not None:
        who = tag("a", run.name, href=run.home, class_="brand")
    names = None
    if len(runs) > 1:
        links = [
            tag(
                "li",
                tag(
                    "a",
                    each.name,
                    href=f"{each.home}/{current}" if run is not None and current else each.home,
                    aria_current="true" if run is each else None,
                ),
            )
            for each in runs
        ]
        names = tag("nav", tag("ul", links), class_="runs", aria_label="Runs")
    brand = tag("div", who, class_="who") if names is None else names
    return tag("header", brand, tag("nav", tag("ul", items), class_="pages", aria_label="Pages"))
