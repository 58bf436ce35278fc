"""Two runs or more beside each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from salmon_core.kit.markup import Html, Node, markup, tag
from salmon_core.seeing.comparing import Compared, compared, differing
from salmon_core.seeing.summary import Summary
from salmon_view.parts import empty, interval, sign, steps, table
from salmon_view.text import line


def compare_page(runs: Sequence[Summary], names: Sequence[str], homes: Sequence[str | None]) -> list[Node]:
    """What they came to, what they changed, and what was set otherwise.

    Args:
        names: that tell them apart.
    """
    runs = [replace(run, name=name) for run, name in zip(runs, names, strict=True)]
    return [tag("h1", "Compare"), _verdicts(runs, homes), _results(runs), _settings(runs)]


def _name(run: Summary, home: str | None) -> Node:
    return tag("a", run.name, href=home) if home is not None else run.name


def _verdicts(runs: Sequence[Summary], homes: Sequence[str | None]) -> Html:
    def cell(state: str, text: str) -> Html:
        return markup(sign(state), text)

    rows: list[list[Node]] = []
    for title, field in (("", "word"), ("How sure?", "sure"), ("Given up?", "given_up"), ("Exploited?", "exploited")):
        own = [getattr(run.verdict, field) for run in runs]
        rows.append([title or "Did it work?", *(cell(each.state, each.text) for each in own)])
    heads = ["", *(_name(run, home) for run, home in zip(runs, homes, strict=True))]
    return steps("Verdicts", table(heads, rows, label="Verdicts", classes="verdicts"), id="verdicts")


def _results(runs: Sequence[Summary]) -> Html:
    found = compared(runs)
    if not found:
        return steps("Results", empty("Nothing was measured before and after."), id="results")
    groups: dict[str, list[Compared]] = {}
    for each in found:
        groups.setdefault(each.group, []).append(each)
    shown: list[Node] = []
    for place, (group, own) in enumerate(groups.items()):
        inner = _table(runs, group, own)
        if place < 2:
            shown.append(tag("div", tag("h3", group), inner))
        else:
            shown.append(tag("details", tag("summary", f"{group} ({len(own)})"), inner))
    note = (
        "A cell is the change from before to after training, with its 95 % interval; minus: the difference of two"
        " changes. The runs are independent, and other seeds may differ by more than that."
    )
    return steps("Results", markup(*shown, tag("p", note, class_="note")), id="results")


def _table(runs: Sequence[Summary], group: str, found: Sequence[Compared]) -> Html:
    ends = [end for each in found for own in each.changes if own is not None for end in (own.low, own.high)]
    least, most = min([0.0, *ends]), max([0.0, *ends])
    rows: list[list[Node]] = []
    for each in found:
        cells: list[Node] = [each.what]
        for own in each.changes:
            if own is None:
                cells += [tag("span", "not measured", class_="dim"), None]
                continue
            cells.append(f"{own.change:+.2f} [{own.low:+.2f}, {own.high:+.2f}]")
            cells.append(interval(own.low, own.change, own.high, least, most))
        for apart in each.apart:
            if apart is None:
                cells.append("")
                continue
            value, low, high = apart
            clear = low > 0 or high < 0
            cells.append(tag("span", f"{value:+.2f} [{low:+.2f}, {high:+.2f}]", class_=None if clear else "dim"))
        rows.append(cells)
    heads: list[Node] = [""]
    for run in runs:
        heads += [run.name, tag("span", f"{run.name}, drawn", class_="unseen")]
    heads += [f"{run.name} minus {runs[0].name}" for run in runs[1:]]
    return table(heads, rows, label=f"Results: {group}", classes="changes compared")


def _settings(runs: Sequence[Summary]) -> Html:
    found = differing([run.document for run in runs])
    if not found:
        return steps("Settings that differ", empty("None: only their names are others."), id="settings")
    rows = [[each.key, *(_value(value) for value in each.values)] for each in found]
    shown = table(("setting", *(run.name for run in runs)), rows, label="Settings that differ")
    return steps("Settings that differ", shown, id="settings")


def _value(value: Any) -> Node:
    return "" if value is None else tag("code", line(value if isinstance(value, str) else json.dumps(value), 200))
