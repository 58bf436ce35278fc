"""`events.jsonl`: one line per logged training step. Safe against a writer killed at any byte."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete JSON lines of a file that may be growing, or may have been cut off by a kill."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError:
                return


def read_events(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """(step, values) of each line."""
    for line in read_lines(path):
        yield int(line["step"]), line["values"]


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """One write per line, so a reader sees whole lines but for the very last."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def keep_lines(path: Path, keep: Callable[[Mapping[str, Any]], bool]) -> None:
    """Drops lines (and a torn end) in place; what a resumed run will write again must not stand there twice."""
    if not path.is_file():
        return
    lines = [line for line in read_lines(path) if keep(line)]
    aside = path.with_suffix(".tmp")
    aside.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    os.replace(aside, path)


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """The entries that are finite numbers, as floats."""
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
