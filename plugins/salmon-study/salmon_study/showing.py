"""Results on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from salmon_core.cli.console import printable
from salmon_core.kit.agreement import Alpha
from salmon_core.records import FEW, Estimate
from salmon_study.ratings import PEOPLE
from salmon_study.results import Results, Tally, power, too_few
from salmon_study.task import key_path

if TYPE_CHECKING:
    from salmon_study.making import Made

_COLOURS = {"B": "green", "A": "red", "too few": "yellow"}


def show(results: Results, console: Console, *, every: bool = False) -> None:
    """Prints them.

    Args:
        every: also what each person said, not only all people together.
    """
    console.print(f"[bold]Blind study[/bold]  A: {_text(results.a)}   B: {_text(results.b)}")
    console.print(f"{results.items} pairs of answers to {results.prompts} prompts")
    people = [each.rater for each in results.raters if each.kind == "person"]
    hidden = set() if every else set(people)
    if tallies := [each for each in results.tallies if each.who not in hidden or each.who == PEOPLE]:
        table = Table(
            "question", "who", "B wins", "ties", "A wins", "rate of B", "95 %", "prompts", "better", padding=(0, 0)
        )
        for each in tallies:
            table.add_row(*_tally(each))
        console.print(table)
    if results.agreement:
        table = Table("people agree", "alpha", "95 %", "nominal", "rated twice", padding=(0, 0))
        for found in results.agreement:
            nominal = "" if found.nominal.value is None else f"{found.nominal.value:.3f}"
            table.add_row(_text(found.question), *_alpha(found.ordinal), nominal, str(found.ordinal.units))
        console.print(table)
    if results.pairs:
        table = Table("two raters", "same", "95 %", "opposite", "alpha", "95 %", "of", padding=(0, 0))
        for pair in results.pairs:
            names = f"{_text(pair.one)}, {_text(pair.other)}"
            opposite = f"{pair.opposite.value:.3f}"
            table.add_row(names, *_estimate(pair.same), opposite, *_alpha(pair.alpha), str(pair.items))
        console.print(table)
    if results.raters:
        table = Table("rater", "rated", "shown first preferred", "seconds each", padding=(0, 0))
        for state in results.raters:
            name = _text(f"{state.rater} ({state.about})" if state.about else state.rater)
            left = f"{state.left.value:.2f} ({state.left.n})" if state.left.n else ""
            seconds = "" if state.seconds is None else f"{state.seconds:.0f}"
            table.add_row(name, f"{state.done}/{state.of}", left, seconds)
        console.print(table)
    for note in results.notes:
        console.print(f"[yellow]note[/yellow]  {_text(note)}")


def _tally(each: Tally) -> tuple[str, ...]:
    colour = _COLOURS.get(each.verdict)
    verdict = f"[{colour}]{each.verdict}[/{colour}]" if colour else each.verdict
    counts = (str(each.wins), str(each.ties), str(each.losses))
    return (_text(each.question), _text(each.who), *counts, *_estimate(each.rate), str(each.rate.n), verdict)


def _estimate(found: Estimate) -> tuple[str, str]:
    return f"{found.value:.3f}", f"{found.low:.3f} .. {found.high:.3f}"


def _alpha(found: Alpha) -> tuple[str, str]:
    if found.value is None:
        return "none", ""
    return f"{found.value:.3f}", f"{found.low:.3f} .. {found.high:.3f}"


def _text(text: str) -> str:
    return escape(printable(text))


def summary(path: Path, made: Made) -> list[str]:
    """What was made, and what to do with it."""
    task, key = made.task, made.key
    names = ", ".join(question.name for question in task.questions)
    prompts = len({origin.prompt for origin in key.items.values()})
    lines = [
        f"{path}: {len(task.items)} pairs of answers to {prompts} prompts",
        f"{task.steps} ratings of each rater, by {names}",
        f"{key_path(path)}: which side is which; keep it from raters",
    ]
    if key.equal:
        lines.append(f"{key.equal} of {key.passed} prompts were answered alike and are left out")
    lines.append(too_few(prompts) if prompts < FEW else power(prompts))
    return [_text(line) for line in lines]
