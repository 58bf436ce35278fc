"""Results as data: in JSON and back, and as tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from salmon_bench.figures import Figure
from salmon_bench.rows import VERSION
from salmon_core.data.files import write_text
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError

FORMAT = 1
ALL = "all"
#: columns of the leaderboard, by measure
COLUMNS = {
    "right": "right",
    "turns round": "turns round",
    "reworded": "other words",
    "stays": "stays",
    "sets": "sets",
    "conflicts": "conflicts",
    "dressed up": "dressed up",
    "both orders": "both orders",
    "first shown wins": "first wins",
}


@dataclass(frozen=True, slots=True)
class Result:
    """Of one subject.

    Attributes:
        sort: reward model, judge or baseline.
        rows: that it was asked, of `pairs` of answers under a principle or some; `left_out` those it cannot read whole.
        note: what else is to be known.
    """

    name: str
    sort: str
    rows: int
    pairs: int
    left_out: int
    figures: tuple[Figure, ...]
    note: str = ""

    def figure(self, what: str, about: str = ALL) -> Figure | None:
        """One of them, None where there is none."""
        return next((each for each in self.figures if (each.what, each.about) == (what, about)), None)


@dataclass(frozen=True, slots=True)
class Board:
    """Of all subjects of a command.

    Attributes:
        data: what was asked: the benchmark's rows with their version, or a file of others with its format.
    """

    data: str
    results: tuple[Result, ...]

    def to_json(self) -> str:
        """As `read_board` reads it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        write_text(path, self.to_json())

    def families(self) -> tuple[str, ...]:
        """Families and writers that some subject has a figure of."""
        return tuple(
            dict.fromkeys(
                each.about for own in self.results for each in own.figures if each.what == "right" and each.about != ALL
            )
        )


def own_data(path: Path | None = None) -> str:
    """What is said of the benchmark's rows."""
    return f"salmon-bench, version {VERSION}" if path is None else f"rows of {path}, version {VERSION}"


def read_board(path: str | Path) -> Board:
    """A board from its file.

    Raises:
        SalmonError: there is none that can be read.
    """
    from pydantic import TypeAdapter

    values: Any = read_json(Path(path))
    hint = "salmon bench SUBJECT --json FILE writes one"
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise SalmonError("has no results of this version", where=str(path), hint=hint)
    try:
        return TypeAdapter(Board).validate_python({each.name: values[each.name] for each in fields(Board)})
    except (KeyError, TypeError, ValueError) as error:
        raise SalmonError(f"is damaged: {type(error).__name__}: {error}", where=str(path), hint=hint) from None


def cell(own: Figure | None, *, verdict: bool = False) -> str:
    """A value with its interval, and a verdict that is not to be overlooked."""
    if own is None:
        return ""
    text = f"{own.value:.2f} [{own.low:.2f}, {own.high:.2f}]"
    return f"{text} {own.verdict}" if verdict and own.verdict else text


def leaderboard(board: Board) -> list[list[str]]:
    """A row for each subject, the best first; a column for each measure that some has."""
    shown = [what for what in COLUMNS if any(own.figure(what) for own in board.results)]
    ordered = sorted(board.results, key=lambda own: -(found.value if (found := own.figure("right")) else 0.0))
    lines = [["subject", "rows", *(COLUMNS[what] for what in shown), "verdict"]]
    for own in ordered:
        right = own.figure("right")
        verdict = right.verdict if right else ""
        lines.append([own.name, str(own.rows), *(cell(own.figure(what)) for what in shown), verdict])
    return lines


def by_family(board: Board) -> list[list[str]]:
    """A row for each family and writer, a column for each subject: right, with the verdict."""
    lines = [["right", *(own.name for own in board.results)]]
    for about in board.families():
        lines.append([about, *(cell(own.figure("right", about), verdict=True) for own in board.results)])
    return lines


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    rows: list[Sequence[str]] = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("| " + " | ".join(_padded(row, widths)) + " |" for row in rows) + "\n"


def _padded(row: Iterable[str], widths: Iterable[int]) -> Iterable[str]:
    return (each.replace("|", "\\|").ljust(width) for each, width in zip(row, widths, strict=True))
