"""Results for people: on a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from salmon_bench.board import COLUMNS, Board, as_markdown, by_family, cell, leaderboard
from salmon_bench.examine import MEASURES


def tables(board: Board) -> Iterator[list[list[str]]]:
    """The leaderboard and what each subject is worth by family; of another benchmark's file its scores."""
    if any(own.figure("right") for own in board.results):
        yield leaderboard(board)
        yield by_family(board)
        return
    names = dict.fromkeys(each.about for own in board.results for each in own.figures)
    lines = [["score", *(own.name for own in board.results)]]
    for name in names:
        lines.append([name, *(cell(own.figure("score", name)) for own in board.results)])
    yield lines


def notes(board: Board) -> Iterator[str]:
    """What the numbers are, and what was left out."""
    if any(own.figure("right") for own in board.results):
        yield "Shares with 95 % intervals over pairs of answers. A coin has 0.5, but 0.25 in both orders."
        yield "; ".join(
            f"{title}: {MEASURES[what]}"
            for what, title in COLUMNS.items()
            if any(own.figure(what) for own in board.results)
        )
        yield (
            "good: above chance (q <= 0.05) and at least 0.75; weak: above chance; bad: 0.75 would have been found;"
            " underpowered: it might not have been, or fewer than 20 pairs"
        )
    for own in board.results:
        if own.left_out:
            yield f"{own.name}: {own.left_out} rows were left out, which it cannot read without cutting them"
        if own.note:
            yield f"{own.name}: {own.note}"


def show(board: Board, console: Console) -> None:
    """Prints it; on a narrow terminal a table for each subject, with a line for each measure."""
    console.print(f"[bold]{escape(board.data)}[/bold]")
    for lines in tables(board):
        wide = sum(max(map(len, column)) + 3 for column in zip(*lines, strict=True))
        for part in [lines] if wide <= console.width else _upright(lines):
            console.print(_table(part))
    for note in notes(board):
        console.print(f"[dim]{escape(note)}[/dim]")


def markdown(board: Board) -> str:
    """The same for a page."""
    parts = [f"{board.data}\n", *map(as_markdown, tables(board)), "".join(f"- {note}\n" for note in notes(board))]
    return "\n".join(parts)


def _upright(lines: Sequence[Sequence[str]]) -> Iterator[list[list[str]]]:
    """A table of two columns for each row, or for each further column, whichever is a subject."""
    by_row = lines[0][0] == "subject"
    turned = lines if by_row else [list(column) for column in zip(*lines, strict=True)]
    head = turned[0]
    for row in turned[1:]:
        yield [[head[0], row[0]], *([name, value] for name, value in zip(head[1:], row[1:], strict=True) if value)]


def _table(lines: Sequence[Sequence[str]]) -> Table:
    table = Table(*map(escape, lines[0]), padding=(0, 0))
    for line in lines[1:]:
        table.add_row(*map(escape, line))
    return table
