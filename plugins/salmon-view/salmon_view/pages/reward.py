"""The reward model: its report card, whether its confidence is honest, and control principle by principle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salmon_core.data.json import read_json
from salmon_core.kit.markup import Node, markup, tag
from salmon_core.records import FEW
from salmon_core.seeing.curves import Curves
from salmon_view.parts import curve_figure, empty, figure, interval, sign, table

#: where `salmon card RUN` leaves its card
CARD = Path("card") / "card.json"
_STATES = {"good": "good", "weak": "unclear", "bad": "bad", "backwards": "bad"}
#: checks of the card that have a figure for each principle, in the order of the heat map
_CONTROL = ("accuracy", "negated", "negation", "control", "paraphrase", "irrelevant", "brief", "wins")
_TITLES = {
    "accuracy": "right",
    "negated": "right negated",
    "negation": "turns round",
    "control": "control",
    "paraphrase": "other words",
    "irrelevant": "with others",
    "brief": "shorter is right",
    "wins": "wins conflicts",
    "unseen": "unseen",
    "first": "deciding first",
    "last": "deciding last",
    "sets": "sets of k",
    "place": "first place wins",
    "weights": "heavier wins",
    "longer": "longer wins",
    "calibration": "confidence",
}
_CURVES = ("accuracy", "loss", "margin")


def card_of(run: Path, report: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A run's report card: the command's, else the evaluator's; None where there is none."""
    found = read_json(run / CARD)
    if isinstance(found, Mapping) and isinstance(found.get("figures"), list):
        return found
    values = (report.get("evaluators") or {}).get("report-card")
    if not isinstance(values, Mapping) or not isinstance(values.get("figures"), Mapping):
        return None
    return {**values, "figures": [each for own in values["figures"].values() for each in own.values()]}


def reward_page(report: Mapping[str, Any], card: Mapping[str, Any] | None, training: Curves) -> list[Node]:
    """All of it."""
    return [
        tag("h1", "Reward model"),
        _accuracy(report),
        *(card_part(card) if card else [_no_card()]),
        _training(training),
    ]


def _no_card() -> Node:
    what = "There is no report card: `salmon card RUN` makes one, or the evaluator report-card in the run."
    return tag("section", tag("h2", "Report card"), empty(what), aria_label="Report card")


def _accuracy(report: Mapping[str, Any]) -> Node:
    rm = report.get("rm") or {}
    named = {"a principle's own text": rm.get("positive"), "its negated text": rm.get("negated")}
    for way, sets in (rm.get("sets") or {}).items():
        named |= {f"{size} principle{'s' if size != '1' else ''}, {way}": own for size, own in sets.items()}
    rows = [[name, *_estimate(own)] for name, own in named.items() if own]
    if not rows:
        return None
    heads = ("held-out pairs, shown", "right", tag("span", "drawn", class_="unseen"), "95 % interval", "n")
    shown = table(heads, rows, label="Accuracy on held-out pairs", numbers=(1, 4))
    return tag("section", tag("h2", "How often it is right"), shown, aria_label="How often it is right")


def _estimate(own: Mapping[str, Any]) -> list[Node]:
    value = f"{own['value']:.2f}" if own["n"] >= FEW else f"too few ({own['value']:.2f})"
    drawn = interval(own["low"], own["value"], own["high"], 0.0, 1.0, at=0.5)
    return [value, drawn, f"{own['low']:.2f} to {own['high']:.2f}", own["n"]]


def card_part(card: Mapping[str, Any]) -> list[Node]:
    """Report card, heat map, reliability."""
    try:
        return [_card(card), _heat(card["figures"]), _reliability(card.get("bins") or ())]
    except (KeyError, TypeError, ValueError) as error:
        return [empty(f"The report card cannot be read: {type(error).__name__}: {error}")]


def _card(card: Mapping[str, Any]) -> Node:
    rows: list[list[Node]] = []
    for each in card["figures"]:
        if each["about"] != "all" and each["verdict"] in ("good", "underpowered"):
            continue
        verdict = markup(sign(_STATES.get(each["verdict"], "none")), each["verdict"])
        least = min(0.0, each["low"])
        drawn = interval(each["low"], each["value"], each["high"], least, max(1.0, each["high"]), at=each["null"])
        detectable = "" if each["detectable"] is None else f"{each['detectable']:.2f}"
        name = _TITLES.get(each["check"], each["check"])
        found = {"yes": "found", "no": "passes", "underpowered": "too few"}.get(each.get("found") or "", "")
        rows.append([name, each["about"], verdict, f"{each['value']:.2f}", drawn, each["n"], detectable, found])
    heads: tuple[Node, ...] = ("check", "of", "verdict", "value", tag("span", "drawn", class_="unseen"), "n")
    shown = table((*heads, "finds", "planted"), rows, label="Report card", numbers=(3, 5, 6))
    truth = (
        f"Of {card['pairs']} pairs of answers to {card['prompts']} prompts; which one is better says {card['truth']}"
    )
    truth += ", so this is agreement, not truth." if card.get("agreement") else "."
    more = " Finds: the smallest difference to chance found 4 times in 5. Planted: what became of a planted defect."
    blind = [defect for defect, checks in (card.get("selftest") or {}).items() if not checks]
    more += f" Nothing can be told of: {', '.join(blind)}." if blind else ""
    note = tag("p", truth + more, class_="note")
    return tag("section", tag("h2", "Report card"), shown, note, aria_label="Report card")


def _heat(figures: Sequence[Mapping[str, Any]]) -> Node:
    by = {(each["check"], each["about"]): each for each in figures}
    checks = [name for name in _CONTROL if any(check == name for check, _ in by)]
    names = list(
        dict.fromkeys(each["about"] for each in figures if each["check"] == "accuracy" and each["about"] != "all")
    )
    if not names or not checks:
        return None

    def cell(check: str, name: str) -> Node:
        each = by.get((check, name))
        if each is None:
            return ""
        # A bias is good near its null, a share near 1.
        good = 1 - 2 * abs(each["value"] - each["null"]) if check == "wins" else each["value"]
        shade = "" if each["n"] < FEW else f" goodness-{min(10, max(0, round(good * 10)))}"
        title = f"{_TITLES[check]} of {name}: {each['value']:.2f} [{each['low']:.2f}, {each['high']:.2f}]"
        return tag(
            "span", f"{each['value']:.2f}", class_=f"cell{shade}", title=f"{title}, n {each['n']}, {each['verdict']}"
        )

    rows = [[name, *(cell(check, name) for check in checks)] for name in names]
    heads = ("principle", *(_TITLES[check] for check in checks))
    shown = table(heads, rows, label="Control by principle", classes="matrix", numbers=range(1, 1 + len(checks)))
    note = f"Shares of preferences that are right, 0.5 by chance; without colour: fewer than {FEW} prompts."
    return tag(
        "section",
        tag("h2", "Control, principle by principle"),
        shown,
        tag("p", note, class_="note"),
        aria_label="Control",
    )


def _reliability(bins: Sequence[Mapping[str, Any]]) -> Node:
    if len(bins) < 2:
        return None
    spec = {
        "kind": "reliability",
        "axis": "probability that its margin gives",
        "x": [round(each["confidence"], 4) for each in bins],
        "y": [round(each["right"], 4) for each in bins],
    }
    told = ", ".join(f"{each['confidence']:.2f} sure and {each['right']:.2f} right" for each in bins)
    rows = [[f"{each['confidence']:.3f}", f"{each['right']:.3f}", each["pairs"]] for each in bins]
    numbers = table(("sure", "right", "pairs"), rows, label="Reliability as numbers", numbers=(0, 1, 2))
    more = tag("details", tag("summary", "As numbers"), numbers)
    drawn = figure(
        "How often it is right, by how sure it is", spec, id="reliability", label=f"Reliability: {told}", note=more
    )
    return tag("section", tag("h2", "Is its confidence honest?"), drawn, aria_label="Is its confidence honest?")


def _training(training: Curves) -> Node:
    found = training.named(_CURVES)
    if not found:
        return None
    drawn = [curve_figure(each, training.axis, ()) for each in found]
    return tag(
        "section",
        tag("h2", "While it was trained"),
        tag("div", *drawn, class_="charts"),
        aria_label="While it was trained",
    )
