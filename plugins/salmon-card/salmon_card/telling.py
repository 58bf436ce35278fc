"""A card for people: in words, as a table of a report, as Markdown for a model card."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_card.card import ALL, WORST, Card, Figure
from salmon_card.checks import BY_NAME, CHECKS
from salmon_core.api import Section

COLUMNS = ("check", "of", "value", "95 % interval", "stays", "n", "finds", "q", "verdict", "planted")

TITLE = "The reward model's report card"
#: what became of a planted defect, in words
FOUND = {"yes": "found", "no": "passes", "underpowered": "too few", "": ""}


def section(card: Card) -> Section:
    """For a run's report and the reward model's card: what holds of all principles, and of one what is not good."""
    rows = tuple(cells(figure) for figure in figures_shown(card))
    return Section(TITLE, COLUMNS, rows, note(card), card="reward")


def figures_shown(card: Card, *, every: bool = False) -> list[Figure]:
    """Figures worth a row: of all principles together, and of single ones where they are not good.

    Args:
        every: all of them.
    """
    return [each for each in card.figures if every or each.about == ALL or each.verdict not in ("good", "underpowered")]


def cells(figure: Figure) -> tuple[str | int | None, ...]:
    """Under `COLUMNS`."""
    return (
        BY_NAME[figure.check].title,
        figure.about,
        f"{figure.value:.2f}",
        f"{figure.low:.2f} .. {figure.high:.2f}",
        None if figure.kept is None else f"{figure.kept:.2f}",
        figure.n,
        None if figure.detectable is None else f"{figure.detectable:.2f}",
        None if figure.q is None else f"{figure.q:.3f}" if figure.q >= 0.001 else "<.001",
        figure.verdict,
        planted(figure),
    )


def planted(figure: Figure) -> str:
    """Whether the defect was found, in words."""
    if figure.defective is None:
        return ""
    return f"{FOUND[figure.found]} {figure.defective:.2f}: {figure.defect}"


def note(card: Card) -> str:
    """What the numbers are, in a few sentences."""
    parts = [
        f"Of {card.pairs} pairs of answers to {card.prompts} prompts; which one is better says {card.truth}"
        + (", so this is agreement, not truth." if card.agreement else "."),
        "n: prompts. finds: the smallest difference to chance (or to no bias) that would be found 4 times in 5."
        " stays: how often the preference is the one under the principle alone."
        " q: the share of false findings (Benjamini and Hochberg) over the whole card.",
        "Planted: what the same computation says of this reward model with a defect that the check has to find; where"
        " it passes, the check cannot tell.",
    ]
    if card.blind:
        parts.append(f"No check would have found these defects, so nothing is said of them: {', '.join(card.blind)}.")
    if card.framed:
        parts.append("Nobody wrote other words for the principles: fixed templates stand in.")
    missing = unmeasured(card)
    if missing:
        parts.append(f"Not measured, for want of cases: {', '.join(missing)}.")
    for reason, count in card.skipped.items():
        parts.append(f"{count} rows were left out: each {reason}.")
    return " ".join(parts)


def unmeasured(card: Card) -> list[str]:
    """Checks without any figure."""
    there = {figure.check for figure in card.figures}
    return [check.title for check in CHECKS if check.name not in there]


def summary(card: Card) -> str:
    """In one line, what can be trusted of it."""
    groups: dict[str, list[str]] = {}
    for check in CHECKS:
        verdict = card.verdict(check.name)
        if verdict != "not measured":
            groups.setdefault(verdict, []).append(check.title)
    return "; ".join(f"{name}: {', '.join(groups[name])}" for name in WORST if name in groups)


def markdown(card: Card) -> str:
    """A section of a model card, with its heading."""
    lines = [f"## {TITLE}", "", _table(COLUMNS, map(cells, figures_shown(card))), "", note(card)]
    return "\n".join(lines) + "\n"


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    columns = list(columns)
    lines: list[list[object]] = [list(columns), ["---"] * len(columns), *map(list, rows)]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    """In one line, and without what would end a cell or begin a tag."""
    return " ".join(("" if value is None else str(value)).split()).replace("|", "\\|").replace("<", "&lt;")
