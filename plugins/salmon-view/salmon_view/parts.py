"""What pages are made of: tables, intervals, figures, states in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_core.records import FEW
from salmon_core.seeing.changes import Change
from salmon_core.seeing.curves import Curve, Mark
from salmon_core.seeing.summary import Said

#: a state -> its sign and what a screen reader says of it
SIGNS = {
    "good": ("✓", "good"),
    "bad": ("✕", "bad"),
    "unclear": ("!", "unclear"),
    "none": ("?", "not measured"),
    "live": ("●", "running"),
}
_MOVED = {
    "as wanted": "good",
    "against": "bad",
    "up": "plain",
    "down": "plain",
    "not shown": "none",
    "too few": "none",
}
#: rows of a curve's table
_ROWS = 25


def sign(state: str) -> Html:
    """The sign of a state, with its word for those who do not see it."""
    shown, word = SIGNS[state]
    return markup(
        tag("span", shown, class_=f"sign {state}", aria_hidden="true"), tag("span", f"{word}: ", class_="unseen")
    )


def said(title: str, each: Said) -> Html:
    """A sentence of a verdict under its title."""
    return markup(tag("dt", title), tag("dd", sign(each.state), each.text))


def table(
    head: Sequence[Node],
    rows: Iterable[Sequence[Node]],
    *,
    label: str,
    classes: str = "",
    numbers: Iterable[int] = (),
    extra: Iterable[int] = (),
) -> Html:
    """A table that scrolls by itself where there is no room.

    Args:
        label: says what it is of.
        numbers: columns whose cells are numbers.
        extra: columns that are left out where there is little room.
    """
    right, dispensable = frozenset(numbers), frozenset(extra)

    def kind(place: int) -> str | None:
        return " ".join(["number"] * (place in right) + ["extra"] * (place in dispensable)) or None

    def cell(place: int, each: Node) -> Html:
        name = "th" if place == 0 else "td"
        scope = "row" if place == 0 else None
        return tag(name, each, class_=kind(place), scope=scope)

    body = [tag("tr", *(cell(place, each) for place, each in enumerate(row))) for row in rows]
    heads = [tag("th", each, scope="col", class_=kind(place)) for place, each in enumerate(head)]
    inner = tag("table", tag("thead", tag("tr", heads)), tag("tbody", body), class_=classes or None)
    return tag("div", inner, class_="wide", tabindex="0", role="region", aria_label=label)


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """For a table; empty where there is none."""
    if value is None:
        return ""
    return f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"


def changes_table(found: Sequence[Change], label: str) -> Html:
    """Before and after, with intervals; all intervals on one scale."""
    low = min([0.0, *(each.low for each in found)])
    high = max([0.0, *(each.high for each in found)])

    def row(each: Change) -> list[Node]:
        name: Node = markup(each.what, tag("small", f" {each.note}") if each.note else None)
        wanted = {"more": " ↑", "less": " ↓"}.get(each.wanted, "")
        if wanted:
            name = markup(name, tag("span", wanted, class_="dim", title=f"wanted: {each.wanted}"))
        few = 0 < each.n < FEW
        moved = tag("span", each.moved, class_=f"tag {_MOVED[each.moved]}")
        change = f"{each.change:+.2f} [{each.low:+.2f}, {each.high:+.2f}]"
        return [
            name,
            number(each.before),
            number(each.after),
            tag("span", change, class_="dim" if few else None),
            interval(each.low, each.change, each.high, low, high),
            each.n or "",
            moved,
        ]

    heads = ("", "before", "after", "change, 95 % interval", tag("span", "interval drawn", class_="unseen"), "n", "")
    return table(heads, map(row, found), label=label, classes="changes", numbers=(1, 2, 3, 5))


def interval(low: float, value: float, high: float, least: float, most: float, *, at: float = 0.0) -> Html:
    """An interval as a drawing: a line from low to high, a dot at the value, a mark at `at`."""
    width, span = 120, (most - least) or 1.0

    def x(place: float) -> str:
        return f"{4 + (width - 8) * (min(max(place, least), most) - least) / span:.1f}"

    return tag(
        "svg",
        tag("line", x1=x(at), x2=x(at), y1="1", y2="15", class_="zero"),
        tag("line", x1=x(low), x2=x(high), y1="8", y2="8", class_="range"),
        tag("circle", cx=x(value), cy="8", r="3", class_="dot"),
        viewBox=f"0 0 {width} 16",
        class_="interval",
        aria_hidden="true",
    )


def figure(
    title: str,
    spec: dict[str, Any],
    *,
    id: str,
    label: str,
    note: Node = None,
    classes: str = "chart",
) -> Html:
    """A chart, drawn by the page's script from its numbers.

    Args:
        spec: see `view.js`.
        id: by which a page that refreshes finds it again.
        label: what it shows, in words.
    """
    # An element whose `data-chart` has the numbers: the page's policy allows no script in the page.
    drawn = tag("div", class_="plot", role="img", aria_label=label)
    caption = tag("figcaption", title)
    data = json.dumps(spec, separators=(",", ":"), allow_nan=False)
    return tag("figure", caption, drawn, note, class_=classes, id=id, data_chart=data, data_live=True)


def curve_figure(curve: Curve, axis: str, marks: Sequence[Mark]) -> Html:
    """One curve over the axis, with alarms and interventions."""
    spec = {
        "kind": "line",
        "axis": axis,
        "x": [round(each, 3) for each in curve.x],
        "y": [float(f"{each:.5g}") for each in curve.y],
        "marks": [{"kind": each.kind, "label": each.label, "at": each.at} for each in marks],
    }
    ends = f"{curve.y[0]:.3g} at first, {curve.y[-1]:.3g} at last, {len(curve.x)} points"
    return figure(
        curve.title, spec, id=f"chart-{curve.name.replace('/', '-')}", label=f"{curve.title} by {axis}: {ends}"
    )


def curves_table(curves: Sequence[Curve], axis: str) -> Html:
    """The same curves as numbers, for those who read rather than look; of many points some."""
    by_place: dict[float, dict[str, float]] = {}
    for curve in curves:
        for x, y in zip(curve.x, curve.y, strict=True):
            by_place.setdefault(round(x, 2), {})[curve.name] = y
    places = sorted(by_place)
    chosen = places[:: max(1, -(-len(places) // _ROWS))]
    rows = [[f"{at:g}", *(_short(by_place[at].get(curve.name)) for curve in curves)] for at in chosen]
    return tag(
        "details",
        tag("summary", "The curves as numbers"),
        table([axis, *(curve.title for curve in curves)], rows, label="The curves as numbers", numbers=range(20)),
        id="curves-table",
        data_live=True,
    )


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def steps(title: str, body: Node, *, id: str, live: bool = True, more: Node = None) -> Html:
    """A section with a heading."""
    heading = tag("h2", title)
    return tag("section", heading, body, more, id=id, data_live=live, aria_label=title)


def empty(text: str) -> Html:
    """Where there is nothing to show: why, and what would make it."""
    return tag("p", text, class_="empty")
