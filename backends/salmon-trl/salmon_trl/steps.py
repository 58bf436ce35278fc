"""`steps.jsonl`: one line per logged training step. Safe against a writer killed at any byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from salmon_core.data.files import write_text

#: in the stage's folder
STEPS = "steps.jsonl"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete JSON lines of a file that may be growing, or may have been cut off by a kill."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                found = json.loads(line)
            except ValueError:
                return
            if not isinstance(found, dict) or not isinstance(found.get("step"), int) or "values" not in found:
                return  # damaged: what stands behind it cannot be trusted either
            yield found


def read_steps(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
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
    write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
