"""What a report begins and ends with, whatever the run was about: a verdict, the reward's parts, a few answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from salmon_core.cli.console import printable
from salmon_core.errors import SalmonError
from salmon_core.seeing.answers import answered, three
from salmon_core.seeing.changes import COMPONENTS, Change
from salmon_core.seeing.eventlog import EventLog
from salmon_core.seeing.summary import Said, Summary, summary

_STYLES = {"good": "green", "bad": "red", "unclear": "yellow", "none": "dim", "live": "cyan"}
#: characters of a prompt or an answer
_LONGEST = 300


def summary_of(folder: Path) -> Summary:
    """A run's summary."""
    return summary(folder, EventLog(folder))


def print_verdict(run: Summary, console: Console) -> None:
    """Did it work, how sure, what was given up, what was exploited: a line each."""
    own = run.verdict
    console.print(f"[bold {_STYLES[own.word.state]}]{escape(own.word.text)}[/]")
    lines: list[tuple[str, Said]] = [
        ("worked", own.worked),
        ("sure", own.sure),
        ("given up", own.given_up),
        ("exploited", own.exploited),
    ]
    grid = Table.grid(padding=(0, 2))
    for name, said in lines:
        grid.add_row(f"[dim]{name}[/dim]", f"[{_STYLES[said.state]}]{escape(printable(said.text))}[/]")
    console.print(grid)


def print_changes(found: Sequence[Change], console: Console) -> None:
    """Components of the reward before and after, with intervals."""
    own = [each for each in found if each.group == COMPONENTS]
    if not own:
        return
    table = Table("reward on held-out prompts", "before", "after", "change", "95 % interval", "n")
    for each in own:
        change = f"{each.change:+.2f}" if each.moved != "too few" else f"too few ({each.change:+.2f})"
        numbers = (f"{each.before:.2f}", f"{each.after:.2f}", change, f"{each.low:+.2f} .. {each.high:+.2f}")
        table.add_row(escape(printable(each.what)), *numbers, str(each.n or ""))
    console.print(table)


def print_answers(folder: Path, console: Console) -> None:
    """Three prompts whose answers changed, before and after."""
    try:
        found = three(answered(folder))
    except SalmonError:  # they are an extra; what is wrong with the file is said by whoever needs it
        return
    for each in found:
        asked = each.prompt.messages[-1]["content"] if each.prompt.messages else ""
        console.print(f"[dim]prompt[/dim] {escape(_short(asked))}")
        for name, answers in (("before", each.before), ("after ", each.after)):
            if answers:
                console.print(f"[dim]{name}[/dim] {escape(_short(answers[0].text))}")


def verdict_document(run: Summary) -> dict[str, Any]:
    """The verdict for machines: by question its state and words."""
    return asdict(run.verdict)


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
