"""Ratings unsealed, as rows in a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from salmon_core.data.files import write_text
from salmon_core.errors import SalmonError
from salmon_study.ratings import Rated, Rating
from salmon_study.results import party_of
from salmon_study.task import Key, Task

FORMATS = (".csv", ".jsonl")
#: rows as they are exported, and what gives each column
_COLUMNS: dict[str, Callable[[Task, Key, Rated, Rating], Any]] = {
    "rater": lambda task, key, rated, rating: rated.rater,
    "kind": lambda task, key, rated, rating: rated.kind,
    "prompt_id": lambda task, key, rated, rating: key.items[rating.item].prompt,
    "item": lambda task, key, rated, rating: rating.item,
    "question": lambda task, key, rated, rating: rating.question,
    "a": lambda task, key, rated, rating: key.a,
    "b": lambda task, key, rated, rating: key.b,
    "prefers": lambda task, key, rated, rating: party_of(key, rating),
    "shown_first": lambda task, key, rated, rating: _party_shown(key, rating),
    "seconds": lambda task, key, rated, rating: rating.seconds,
    "time": lambda task, key, rated, rating: rating.time,
}


def exported(task: Task, key: Key, rated: Sequence[Rated]) -> Iterable[dict[str, Any]]:
    """A row for each rating that stands, unsealed."""
    for each in rated:
        for rating in each.ratings:
            yield {name: value(task, key, each, rating) for name, value in _COLUMNS.items()}


def _party_shown(key: Key, rating: Rating) -> str:
    if not rating.left:
        return ""
    first = key.items[rating.item].first
    return first if rating.left == "first" else ("b" if first == "a" else "a")


def export(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes them; how many there are.

    Raises:
        SalmonError: no such format.
    """
    found = list(rows)
    if path.suffix == ".jsonl":
        write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in found))
    elif path.suffix == ".csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if found:
            writer.writerow(found[0])
        writer.writerows([_cell(value) for value in row.values()] for row in found)
        write_text(path, out.getvalue())
    else:
        raise SalmonError("no such format", where=f"--export {path}", hint=f"its name ends with {' or '.join(FORMATS)}")
    return len(found)


def _cell(value: Any) -> Any:
    """What a spreadsheet would take for a formula becomes text."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
