"""`salmon compare`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Column, Table

from salmon_core.cli.console import printable
from salmon_core.cli.output import OUT
from salmon_core.cli.verdict import summary_of, verdict_document
from salmon_core.data.json import canonical
from salmon_core.errors import SalmonError
from salmon_core.run.run import CONFIG
from salmon_core.seeing.changes import Change
from salmon_core.seeing.comparing import Compared, compared, differing

#: characters of a setting
_LONGEST = 60


def compare_runs(folders: Sequence[Path], *, as_json: bool) -> None:
    """Prints what differs in the settings of runs, and in what came of them.

    Raises:
        SalmonError: fewer than two runs, or a folder that is none.
    """
    if len(folders) < 2:
        raise SalmonError("takes two runs or more", where="salmon compare")
    for folder in folders:
        if not (folder / CONFIG).is_file():
            raise SalmonError("there is no run in this folder", where=str(folder))
    runs = [summary_of(folder) for folder in folders]
    settings, measures = differing([run.document for run in runs]), compared(runs)
    if as_json:
        document = {
            "runs": [{"folder": str(f), "verdict": verdict_document(r)} for f, r in zip(folders, runs, strict=True)],
            "settings": [asdict(each) for each in settings],
            "measured": [asdict(each) for each in measures],
        }
        print(json.dumps(document, ensure_ascii=False, indent=1))
        return
    names = [f"{number} {run.name}" for number, run in enumerate(runs, 1)]
    table = Table(Column("", overflow="fold"), *map(escape, names))
    table.add_row("verdict", *(escape(run.verdict.word.text) for run in runs))
    for each in settings:
        table.add_row(escape(each.key), *(escape(_short(value)) for value in each.values))
    OUT.print(table)
    if not settings:
        OUT.print("their settings are the same, but for names")
    shown = Table("change, after minus before", *map(escape, names), *(f"{name[0]} - 1" for name in names[1:]))
    group = ""
    for own in measures:
        if own.group != group:
            group = own.group
            shown.add_row(f"[dim]{escape(printable(group))}[/dim]")
        shown.add_row(escape(printable(own.what)), *map(_change, own.changes), *_apart(own))
    OUT.print(shown)
    OUT.print("[dim]with 95 % intervals; n - 1: how much more it changed in run n than in the first[/dim]")


def _change(own: Change | None) -> str:
    if own is None:
        return "not measured"
    few = " too few" if own.moved == "too few" else ""
    return f"{own.change:+.2f} [{own.low:+.2f}, {own.high:+.2f}]{few}"


def _apart(own: Compared) -> list[str]:
    return ["" if each is None else "{:+.2f} [{:+.2f}, {:+.2f}]".format(*each) for each in own.apart]


def _said(value: Any) -> Any:
    """Without what is not said."""
    if isinstance(value, Mapping):
        return {key: _said(each) for key, each in value.items() if each not in (None, {}, [])}
    return [_said(each) for each in value] if isinstance(value, list | tuple) else value


def _short(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else canonical(_said(value))
    text = printable(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
