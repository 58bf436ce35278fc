"""The judge: whether it can be believed, which principles conflict, and what it said of single pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_core.records import FEW
from salmon_core.seeing.judgments import Judged, JudgedPair
from salmon_view.parts import empty, interval, sign, table
from salmon_view.text import block

SIZE = 12
_STATES = {"good": "good", "unclear": "unclear", "backwards": "bad", "too few": "none"}
_TESTED = {
    "agreement": ("both orders agree", 0.0),
    "first_shown": ("first wins", 0.5),
    "orders": ("orders go together", 0.0),
    "turns_round": ("turns round", 0.0),
    "stays": ("stays", 0.0),
    "right": ("right", 0.5),
}


def verdict_part(judge: Mapping[str, Any]) -> Node:
    """The verdict on the judge, principle by principle."""
    if not judge:
        return empty("This run asked no judge, or has not come to its verdict.")
    evidence = {"all": judge.get("whole") or {}, **(judge.get("principles") or {})}
    keys = [key for key in _TESTED if any(own.get(key) is not None for own in evidence.values())]

    def row(name: str, own: Mapping[str, Any]) -> list[Node]:
        verdict = str(own.get("verdict", ""))
        cells: list[Node] = [name, markup(sign(_STATES.get(verdict, "none")), verdict)]
        for key in keys:
            cells += _estimate(own.get(key), _TESTED[key][1])
        return [*cells, (own.get("orders") or {}).get("n")]

    heads: list[Node] = ["principle", "verdict"]
    for key in keys:
        heads += [_TESTED[key][0], tag("span", f"{_TESTED[key][0]}, interval", class_="unseen")]
    heads.append("prompts")
    rows = [row(name, own) for name, own in evidence.items()]
    numbers = [*range(2, 2 + 2 * len(keys), 2), 2 + 2 * len(keys)]
    shown = table(heads, rows, label="Verdict on the judge", numbers=numbers)
    note = (
        "Both orders agree: they prefer the same answer. First wins: what is shown first is preferred, 0.5 without"
        " bias. Orders go together, turns round (by the negated principle), stays (in other words): correlations, 0 by"
        " chance."
        " Right: known answers given, 0.5 by chance. The thin mark is chance."
    )
    return markup(shown, tag("p", note, class_="note"))


def _estimate(own: Mapping[str, Any] | None, chance: float) -> list[Node]:
    if not own or not own.get("n"):
        return ["", None]
    if own["n"] < FEW:
        return [tag("span", "too few", class_="dim"), None]
    low, value, high = own["low"], own["value"], own["high"]
    least = min(0.0, low) if chance == 0.0 else 0.0
    drawn = interval(low, value, high, min(least, -0.05), 1.0, at=chance)
    return [tag("span", f"{value:.2f}", title=f"95 % interval {low:.2f} to {high:.2f}"), drawn]


def judge_page(home: str, judge: Mapping[str, Any], judged: Judged, given: Mapping[str, str]) -> list[Node]:
    """Verdict, conflicts, pairs."""
    return [
        tag("h1", "Judge"),
        tag("section", tag("h2", "Can it be believed?"), verdict_part(judge), aria_label="Can it be believed?"),
        conflicts_part(judged),
        _pairs(home, judged, given),
    ]


#: judgments of which conflicts are counted while a page waits
_MANY = 200_000


def conflicts_part(judged: Judged) -> Node:
    """Which principles prefer different answers; nothing of fewer than two, or of too many judgments to count here."""
    names = judged.principles
    if len(names) < 2 or len(judged.judgments) > _MANY:
        return None
    found = judged.conflicts()
    by = {frozenset((each.one, each.other)): each.opposed for each in found}

    def cell(one: str, other: str) -> Node:
        own = by.get(frozenset((one, other)))
        if one == other or own is None or not own.n:
            return ""
        few = own.n < FEW
        title = f"{one} and {other}: opposed on {own.value:.2f} [{own.low:.2f}, {own.high:.2f}] of {own.n} pairs"
        shade = "" if few else f" heat-{round(own.value * 10)}"
        text = f"{own.value:.2f}" if not few else f"({own.n})"
        return tag("span", text, class_=f"cell{shade}", title=title)

    rows = [[one, *(cell(one, other) for other in names)] for one in names]
    shown = table(
        ("", *names), rows, label="Conflicts of principles", classes="matrix", numbers=range(1, 1 + len(names))
    )
    note = (
        "How often two principles prefer different answers of a pair, where the judge is of one mind in both orders by"
        f" either. In brackets: the number of pairs, where there are fewer than {FEW}."
    )
    return tag(
        "section", tag("h2", "Which principles conflict"), shown, tag("p", note, class_="note"), aria_label="Conflicts"
    )


def _pairs(home: str, judged: Judged, given: Mapping[str, str]) -> Html:
    title = tag("h2", "Pairs")
    if not judged.judgments:
        return tag("section", title, empty("No pair was judged."), aria_label="Pairs")
    principle, orders = given.get("principle", ""), given.get("orders", "all")
    orders = orders if orders in ("agree", "disagree") else "all"
    try:
        start = max(0, int(given.get("start", "0")))
    except ValueError:
        start = 0
    found, total = judged.find(principle, orders, start, SIZE)  # type: ignore[arg-type]  # one of them
    names = {"": "all", **{name: name for name in judged.principles}}
    ways = {"all": "all", "agree": "both orders agree", "disagree": "orders disagree"}
    form = tag(
        "form",
        tag("label", tag("span", "Principle"), _select("principle", names, principle)),
        tag("label", tag("span", "Orders"), _select("orders", ways, orders)),
        tag("button", "Show", type="submit"),
        method="get",
        action=f"{home}/judge#pairs",
        class_="filters",
    )
    links = []
    for name, at in (("← previous", start - SIZE), ("next →", start + SIZE)):
        if 0 <= at < total:
            asked = urlencode({"principle": principle, "orders": orders, "start": at})
            links.append(tag("a", name, href=f"{home}/judge?{asked}#pairs"))
    pager = tag("nav", *links, class_="pager", aria_label="Parts of the list") if links else None
    note = tag("p", f"{total:,} judgments, those first of which the judge said most.", class_="note")
    return tag("section", title, form, note, *map(pair, found), pager, id="pairs", aria_label="Pairs")


def _select(name: str, values: Mapping[str, str], chosen: str) -> Html:
    options = [tag("option", title, value=value, selected=value == chosen) for value, title in values.items()]
    return tag("select", *options, name=name)


def pair(each: JudgedPair) -> Html:
    """A pair with what was said of it in both orders."""
    own = each.judgment

    def prefers(score: float) -> str:
        return "neither" if score == 0 else "the first" if score > 0 else "the second"

    rows = [
        ["the first shown first", f"{own.s12:+.2f}", prefers(own.s12)],
        ["the second shown first", f"{own.s21:+.2f}", prefers(own.s21)],
    ]
    shown = table(("order", "score for the first", "prefers"), rows, label="Both orders", numbers=(1,))
    found = markup(
        sign("good" if each.agree else "unclear"), "both orders agree" if each.agree else "the orders disagree"
    )
    asked = each.prompt.text if each.prompt is not None else own.pair_id
    return tag(
        "article",
        tag("h3", own.principle, " ", tag("span", found, class_="dim")),
        block(asked, limit=2000),
        tag(
            "div",
            tag("section", tag("h4", "First"), block(each.first, limit=4000), aria_label="First"),
            tag("section", tag("h4", "Second"), block(each.second, limit=4000), aria_label="Second"),
            class_="sides",
        ),
        shown,
        tag("div", tag("h4", "The judge's words"), block(own.reason, limit=4000)) if own.reason else None,
        class_="pair",
    )
