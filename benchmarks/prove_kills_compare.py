"""What of two runs is data, and where they differ, for `prove_kills.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from prove_kills_world import STAGES, TRAINING

#: of a name in a report or a line of steps: what a clock wrote, or where a training went on
_CLOCK = ("second", "time", "resumed_from", "memory", "started", "finished")
#: files that count as they are, byte for byte
_PLAIN = ("statistics.json", "chat_template.jinja")


def different(reference: Path, run: Path, *, until: str = "report", inexact: tuple[str, ...] = ()) -> list[str]:
    """Data files of a run that are not as in the undisturbed one, each with what is different.

    Args:
        until: the last stage to compare.
        inexact: stages whose trainer does not end with the same weights; of these it is compared which files there are,
            what the stage itself prepared, and which steps and rollouts there are.
    """
    found = []
    for stage in STAGES[: STAGES.index(until) + 1]:
        if stage == "report":
            found += _report(reference, run)
            continue
        exact = stage not in inexact
        names = sorted(_data(reference / stage) | _data(run / stage))
        for name in names:
            one, two = reference / stage / name, run / stage / name
            if not one.exists() or not two.exists():
                found.append(f"{stage}/{name} is {'missing' if one.exists() else 'too much'}")
            elif (exact or not name.startswith("model/")) and one.read_bytes() != two.read_bytes():
                found.append(f"{stage}/{name} is different")
        if stage in TRAINING:
            found += _logged(reference / stage, run / stage, exact=exact)
    return found


def _data(stage: Path) -> set[str]:
    """Of a stage, relative to it; rollouts and steps are compared by what they say."""
    found = set()
    for path in stage.rglob("*"):
        name = path.relative_to(stage).as_posix()
        if not path.is_file() or name.startswith(("checkpoints/", "rollouts/", "tb/")) or name.endswith(".tmp"):
            continue
        result = stage.name == "evaluate" and name[0].isdigit()
        if path.suffix == ".parquet" or name.startswith("model/") or path.name in _PLAIN or result:
            found.add(name)
    return found


def _logged(one: Path, two: Path, *, exact: bool) -> Iterator[str]:
    """Steps and rollouts."""
    a, b = _steps(one), _steps(two)
    if (a if exact else [step for step, _ in a]) != (b if exact else [step for step, _ in b]):
        yield f"{two.name}/steps.jsonl is different"
    for name in sorted({path.name for folder in (one, two) for path in (folder / "rollouts").glob("*.parquet")}):
        rows = [_rows(folder / "rollouts" / name) for folder in (one, two)]
        if rows[0] is None or rows[1] is None:
            yield f"{two.name}/rollouts/{name} is missing or damaged"
        elif (rows[0] != rows[1]) if exact else (len(rows[0]) != len(rows[1])):
            yield f"{two.name}/rollouts/{name} is different"


def _rows(file: Path) -> list[dict[str, Any]] | None:
    try:
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    except (pa.ArrowException, OSError):
        return None
    return rows


def _steps(stage: Path) -> list[tuple[int, Any]]:
    """As logged, without what a clock wrote; a damaged line counts as one."""
    found: list[tuple[int, Any]] = []
    file = stage / "steps.jsonl"
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            values = json.loads(line)
            found.append((values["step"], _timeless(values["values"])))
        except (ValueError, KeyError, TypeError):
            found.append((-1, line))
    return found


def _report(reference: Path, run: Path) -> list[str]:
    values = []
    for folder in (reference, run):
        try:
            values.append(_timeless(json.loads((folder / "report.json").read_text())))
        except (OSError, ValueError):
            return ["report.json is missing or damaged"]
    return [] if values[0] == values[1] else [f"report.json is different at {', '.join(_places(*values))[:200]}"]


def _timeless(value: Any) -> Any:
    """Without what a clock wrote."""
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if not any(word in key for word in _CLOCK)}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _places(one: Any, two: Any, where: str = "") -> Iterator[str]:
    """Keys at which two values differ."""
    if isinstance(one, dict) and isinstance(two, dict):
        for key in sorted({*one, *two}):
            yield from _places(one.get(key), two.get(key), f"{where}.{key}" if where else key)
    elif one != two:
        yield where
