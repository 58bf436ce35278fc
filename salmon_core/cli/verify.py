"""`salmon verify`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.markup import escape

from salmon_core.cli.output import OUT
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.run.run import Run
from salmon_core.sharing.verify import (
    RecordedSource,
    RunSource,
    Source,
    Verdict,
    compare,
    completed,
    read_recorded,
    target_source,
)


def verify_rewards(
    target: str, rollouts: Path, folder: Path | None, *, tolerance: float, limit: int | None, as_json: bool
) -> int:
    """Compares two sources of rewards; 1 where they differ."""
    open_run = partial(Run.open, announce=announce_file_plugin)
    theirs = target_source(target, open_run)
    reference: Source = RecordedSource(rollouts) if folder is None else RunSource(open_run(folder))
    runs = [source.run for source in (reference, theirs) if isinstance(source, RunSource)]
    found = completed(read_recorded(rollouts, limit), runs[0] if runs else None)
    verdict = compare(theirs, reference, found, tolerance)
    if as_json:
        print(json.dumps({**asdict(verdict), "tolerance": tolerance, "same": not verdict.apart}, ensure_ascii=False))
    else:
        _tell(verdict, tolerance)
    return 1 if verdict.apart else 0


def _tell(verdict: Verdict, tolerance: float) -> None:
    count = f"{verdict.rollouts} rollout{'' if verdict.rollouts == 1 else 's'}"
    OUT.print(escape(f"{count}: {verdict.target}, against {verdict.reference}"))
    OUT.print(escape(f"compared: {', '.join(verdict.names)}"))
    worst = verdict.largest
    if worst is None:
        OUT.print("largest difference: none")
    else:
        numbers = f"{worst.theirs:.8g} against {worst.ours:.8g}"
        OUT.print(escape(f"largest difference: {worst.size:.3g} in {worst.name}, {worst.where}: {numbers}"))
    if verdict.apart:
        OUT.print(escape(f"{verdict.apart} of {verdict.rollouts} differ by more than {tolerance:g}"))
    else:
        OUT.print(escape(f"the same to {tolerance:g}"))
