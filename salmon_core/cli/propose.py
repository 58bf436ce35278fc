"""`salmon propose`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from salmon_core.cli.console import printable
from salmon_core.cli.output import OUT
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.records import Estimate
from salmon_core.run.run import Run
from salmon_core.seeing.proposal import Proposal
from salmon_core.seeing.proposing import chosen_alarm, proposals

#: where prohibitions are looked for if nothing is said
SETS = ("interventions",)


def propose(
    folder: Path, *, alarm: int | None, sets: Sequence[str], device: str | None, as_json: bool, file_plugins: bool
) -> None:
    """Prints what could forbid what an alarm is about.

    Raises:
        SalmonError: see `salmon_core.seeing.proposing`.
    """
    run = Run.open(folder, file_plugins=file_plugins, announce=announce_file_plugin)
    found = chosen_alarm(run, alarm)
    made = proposals(run, found, sets or SETS, device=device)
    if as_json:
        rows = [each.document() for each in made]
        print(json.dumps({"alarm": found, "proposals": rows}, ensure_ascii=False, indent=1))
        return
    OUT.print(f"[red]alarm[/red] {escape(printable(str(found['monitor']) + ': ' + str(found['text'])))}")
    table = Table("prohibition", "flagged", "others")
    table.add_column("apart", no_wrap=True)
    table.add_column("lowers it?")
    for each in made:
        verdict = "yes" if each.works else each.refused or "not shown"
        draft = "draft" if each.change.what == "principle" else "bonus"
        name = f"{each.source}/{each.change.name}" if each.source else draft
        told = (_told(each.flagged), _told(each.others), _told(each.apart, interval=True), escape(verdict))
        table.add_row(escape(f"{name}: {printable(each.words)}"), *told)
    OUT.print(table)
    OUT.print("[dim]flagged, others: change of the reward model's score; apart: their difference, 95 % interval[/dim]")
    best = next((each for each in made if each.works), None)
    if best is None:
        OUT.print("none of them surely lowers what the alarm is about: name other sets with --from-set, or write one")
        return
    OUT.print(escape(f"to forbid it from the next batch on:\n  {command(folder, best)}"), soft_wrap=True)


def command(folder: Path, proposal: Proposal) -> str:
    """The command that applies it."""
    change = proposal.change
    if change.what == "bonus":
        how = f"--bonus {change.name}=0"
    elif proposal.source:
        how = f"--principle {change.name} --from-set {proposal.source}"
    else:
        how = f"--add {json.dumps(change.text, ensure_ascii=False)}"
    return f"salmon steer {folder} {how}"


def _told(own: Estimate | None, *, interval: bool = False) -> str:
    if own is None:
        return ""
    return f"{own.value:+.2f}" + (f" [{own.low:+.2f}, {own.high:+.2f}]" if interval else "")
