"""A card on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from salmon_card.card import Card, Figure
from salmon_card.checks import CHECKS
from salmon_card.telling import COLUMNS, FOUND, TITLE, cells, figures_shown, note, summary

_COLOURS = {"good": "green", "bad": "red", "backwards": "red", "weak": "yellow", "cannot tell": "yellow"}
#: columns of a terminal from which on there is room for all of them, and for all but the defects' names
_WIDE, _MIDDLE = 140, 100
#: left out where there is not even that
_EXTRA = ("stays", "finds", "q")


def show(card: Card, console: Console, *, every: bool = False) -> None:
    """Prints it; on a narrow terminal with fewer columns.

    Args:
        every: with the figures of single principles that are good.
    """
    width = console.width
    console.print(f"[bold]{escape(TITLE)}[/bold]  {escape(card.model)}")
    shown = [place for place, name in enumerate(COLUMNS) if width >= _MIDDLE or name not in _EXTRA]
    table = Table(*(COLUMNS[place] if COLUMNS[place] != "95 % interval" else "95 %" for place in shown), padding=(0, 0))
    for figure in figures_shown(card, every=every):
        row = list(map(_text, cells(figure)))
        row[COLUMNS.index("verdict")] = _coloured(figure)
        if width < _WIDE:
            row[-1] = "" if figure.defective is None else f"{FOUND[figure.found]} {figure.defective:.2f}"
        table.add_row(*(row[place] for place in shown))
    console.print(table)
    console.print(_selftest(card))
    if card.bins:
        told = ", ".join(f"{each.confidence:.3f} -> {each.right:.2f}" for each in card.bins)
        console.print(f"confidence by margin -> right, {card.bins[0].pairs} or so each: {told}")
    console.print(f"[bold]in short[/bold]  {escape(summary(card))}")
    console.print(f"[dim]{escape(note(card))}[/dim]")


def meanings() -> str:
    """What each check asks, a line each."""
    return "\n".join(f"{check.title}: {check.asks}" for check in CHECKS)


def _selftest(card: Card) -> Table:
    titles = {check.name: check.title for check in CHECKS}
    table = Table("planted: the same model, but it", "is called bad by")
    for defect, checks in card.selftest.items():
        found = ", ".join(titles[name] for name in checks)
        table.add_row(escape(defect), escape(found) if found else "[yellow]nothing: cannot tell[/yellow]")
    return table


def _coloured(figure: Figure) -> str:
    colour = _COLOURS.get(figure.verdict)
    return f"[{colour}]{figure.verdict}[/{colour}]" if colour else figure.verdict


def _text(value: str | int | None) -> str:
    return "" if value is None else escape(str(value))
