"""`salmon report`: a report as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from salmon_core.cli.console import printable
from salmon_core.cli.numbers import is_number, short
from salmon_core.cli.output import OUT
from salmon_core.cli.verdict import print_answers, print_changes, print_verdict, summary_of, verdict_document
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError, boundary
from salmon_core.plugins.registry import Registry
from salmon_core.records import FEW
from salmon_core.run.alarms import tried_words
from salmon_core.run.run import CONFIG
from salmon_core.seeing.summary import Summary, rewarded
from salmon_core.stages import STAGES
from salmon_core.stages.signatures import Measured

#: of a failure signature that are shown
_NUMBERS = 4
#: what the columns on the judge mean
_AGREE = "agree: both orders prefer the same; first: prefers what is shown first"
_UNREAD = "unread: answers that are no verdict, or missing"
_TESTED = {
    "orders": "orders: correlation of what they prefer",
    "turns_round": "turns: minus the correlation with that by the negated principle",
    "stays": "stays: correlation with that in other words",
    "right": "right: known answers given",
}


def show_report(folder: Path, *, as_json: bool) -> int:
    """Prints the report of a run again, or how a run stands that has none yet; 1 if an expectation does not hold."""
    file, run = folder / "report.json", summary_of(folder)
    report = read_json(file)
    older = run.live and not run.report  # the file is of before the run was started again
    if older or ((folder / CONFIG).is_file() and not file.exists()):
        if as_json:
            print(json.dumps({"verdict": verdict_document(run)}, indent=1, ensure_ascii=False))
        else:
            print_verdict(run, OUT)
            OUT.print("there is no report.json yet: salmon run writes it at the end")
        return 0 if run.live else 1
    if not isinstance(report, dict):
        if not file.exists():
            raise SalmonError("there is no run in this folder", where=str(folder), hint="name the folder of a run")
        raise SalmonError("is no report", where=str(file), hint="salmon run writes it anew")
    try:
        holds = all(item["holds"] for item in report["expect"])
        if as_json:
            print(json.dumps({**report, "verdict": verdict_document(run)}, indent=1, ensure_ascii=False))
        else:
            print_report(report, OUT, run)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = f"report.json is not as salmon run writes it: {type(error).__name__}: {error}"
        raise SalmonError(said, where=str(folder), hint="salmon run writes it anew") from None
    return 0 if holds else 1


def write_report(folder: Path, form: str, out: Path) -> None:
    """Has an installed plugin write the report of a run as a file.

    Raises:
        SalmonError: no plugin writes that form, no run is there, or the file cannot be written.
    """
    registry = Registry.discover()
    if not any(owned.name == form for owned in registry.components("reports")):
        known = ", ".join(owned.name for owned in registry.components("reports"))
        hint = "pip install salmon-view" if form == "html" else f"there are: {known}" if known else "salmon new report"
        where = "--html" if form == "html" else "--write"
        raise SalmonError(f"no installed plugin writes a report as {form}", where=where, hint=hint)
    owned = registry.find("reports", form)
    write = owned.load()
    with boundary(str(owned.owner), f"report {form!r}"):
        write(folder, out)
    OUT.print(escape(f"{out}: {out.stat().st_size / 1e6:.1f} MB"))


def print_report(report: Mapping[str, Any], console: Console, run: Summary) -> None:
    """A report: the verdict, then tables, then a few answers."""
    shown = escape(", ".join(rewarded(report))) or "nothing"
    heading = f"{escape(report['run'])}[/bold]  {escape(report['algorithm'])}, seed {report['seed']}"
    console.print(f"\n[bold]{heading}, rewarded: {shown}")
    print_verdict(run, console)
    if report["principles"]["interventions"]:
        console.print(f"interventions: {escape(', '.join(report['principles']['interventions']))}")
    for each in report.get("steered", ()):
        why = f" ({each['reason']})" if each["reason"] else ""
        said = f"intervention {each['id']} by {each['who']}, from batch {each['from_rollout']}: {each['words']}{why}"
        console.print(escape(printable(said)))
    _print_demonstrations(report["stages"].get("self-align", {}).get("metrics") or {}, console)
    _print_judge(report.get("judge") or {}, console)
    if report["targets"]:
        console.print(_targets(report["targets"]))
    print_changes(run.changes, console)
    _print_rm(report["rm"], console)
    for section in report["sections"]:
        _print_section(section, console)
    for alarm in report.get("alarms") or ():
        said = printable(f"{alarm['monitor']}: {alarm['text']} (p {alarm['p']:.2g})")
        console.print(f"[red]{'alarm told again' if alarm.get('again') else 'alarm'}[/red] {escape(said)}")
        followed = alarm.get("followed") or {}
        for tried in followed.get("tried") or alarm.get("tried") or ():
            console.print(f"      {escape(printable(tried_words(tried)))}")
        if proposed := alarm.get("proposed"):
            console.print(f"      {escape(printable(proposed['text']))}")
        if followed:
            console.print(f"      {escape(followed['text'])}")
    for name, values in report["evaluators"].items():
        plain = {key: value for key, value in values.items() if is_number(value)}
        if plain:
            console.print(escape(f"{name}: " + "  ".join(f"{key} {short(value)}" for key, value in plain.items())))
    _print_signatures(report.get("signatures") or [], console)
    print_answers(run.path, console)
    seconds = sum(stage["seconds"] or 0 for stage in report["stages"].values())
    ordered = sorted(report["stages"].items(), key=lambda item: STAGES.index(item[0]))
    times = ", ".join(f"{name} {stage['seconds'] or 0:.0f}" for name, stage in ordered)
    console.print(f"{seconds:.0f} s in all ({times})")
    if report["deviations"]:
        console.print(f"{len(report['deviations'])} deviations from the paper's numbers are listed in report.json")
    for item in report["expect"]:
        bounds = " ".join(f"{key} {item[key]}" for key in ("min", "max") if item[key] is not None)
        verdict = "[green]holds[/green]" if item["holds"] else "[red]FAILS[/red]"
        value = "missing" if item["value"] is None else short(item["value"])
        console.print(f"{verdict}  {escape(item['metric'])} = {escape(value)} ({bounds})")


def _print_demonstrations(made: Mapping[str, Any], console: Console) -> None:
    """What the model made of its own demonstrations, and why the rest was left out."""
    if not made:
        return
    parts = [f"{made['demonstrations']} of its own"]
    for what in ("questions", "answers", "verbose_answers"):
        if dropped := made.get(f"{what}_dropped"):
            reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
            parts.append(f"{what.replace('_', ' ')} left out: {reasons}")
    console.print(escape(f"demonstrations: {'; '.join(parts)}"))


def _targets(targets: list[Mapping[str, Any]]) -> Table:
    table = Table("rate on held-out prompts", "before", "after", "change", "95 % interval", "n", "bonus?")
    for target in targets:
        low, high = target["ci"]
        table.add_row(
            escape(target["name"]),
            f"{target['before']:.3f}",
            f"{target['after']:.3f}",
            f"{target['change']:+.3f}" if not 0 < target["n"] < FEW else f"too few ({target['change']:+.3f})",
            f"{low:+.3f} .. {high:+.3f}",
            str(target["n"] or ""),
            escape(target["touched_by"] or "none"),
        )
    return table


def _print_judge(judge: Mapping[str, Any], console: Console) -> None:
    if not judge:
        return
    if judge["whole"]["verdict"] == "too few":
        console.print("judge: too few prompts to tell whether it can be believed")
        return
    evidence = {"all": judge["whole"], **judge["principles"]}
    tested = {"orders": "orders", "turns_round": "turns", "stays": "stays", "right": "right"}
    tested = {key: heading for key, heading in tested.items() if judge["whole"][key] is not None}
    counted = bool(judge["whole"].get("answers"))
    table = Table("judge", "verdict", "agree", "first", *tested.values(), "n", *(["unread"] if counted else []))
    for name, own in evidence.items():
        plain = [_told(own[key]) for key in ("agreement", "first_shown")]
        low = [_told(own[key], low=True) for key in tested]
        unread = [f"{own['unread']}/{own['answers']}"] if counted else []
        table.add_row(escape(name), own["verdict"], *plain, *low, str(own["orders"]["n"]), *unread)
    console.print(table)
    meanings = [_AGREE, *(_TESTED[key] for key in tested), *([_UNREAD] if counted else [])]
    console.print(f"[dim]{'; '.join(meanings)}; > low end of the 95 % interval[/dim]")


def _told(own: Mapping[str, Any] | None, *, low: bool = False) -> str:
    """A value, with the low end of its interval where that decides."""
    if own is None or not own["n"]:
        return "-"
    if own["n"] < FEW:
        return "too few"
    return f"{own['value']:.2f}" + (f" >{own['low']:.2f}" if low else "")


def _print_rm(rm: Mapping[str, Any], console: Console) -> None:
    rows = [(name, rm[name]) for name in ("positive", "negated") if rm.get(name)]
    rows += [(f"{size} at once, {way}", own) for way, sets in rm.get("sets", {}).items() for size, own in sets.items()]
    if not rows:
        return
    table = Table("reward model, held-out accuracy", "rate", "95 % interval", "n")
    for name, own in rows:
        value = f"{own['value']:.3f}" if own["n"] >= FEW else f"too few ({own['value']:.3f})"
        table.add_row(escape(name), value, f"{own['low']:.3f} .. {own['high']:.3f}", str(own["n"]))
    console.print(table)


def _print_signatures(signatures: list[Mapping[str, Any]], console: Console) -> None:
    """The checklist: what was found, by which numbers, and what to do about it."""
    if not signatures:
        return
    table = Table("failure signature", "found", "by", "what helps")
    for each in signatures:
        colour = {"yes": "red", "unclear": "yellow", "no": "green"}.get(each["found"])
        found = f"[{colour}]{each['found']}[/{colour}]" if colour else each["found"]
        numbers = [str(Measured(**number)) for number in each["numbers"][:_NUMBERS]]
        more = len(each["numbers"]) - len(numbers)
        told = "; ".join([*numbers, *([f"{more} more in report.json"] if more else [])])
        table.add_row(escape(each["name"]), found, escape(told), escape(each["remedy"]))
    console.print(table)


def _print_section(section: Mapping[str, Any], console: Console) -> None:
    console.print(f"[bold]{escape(section['title'])}")  # above the table, which may be too narrow for it
    table = Table(*map(escape, section["columns"]))
    for row in section["rows"]:
        table.add_row(*("" if cell is None else escape(short(cell)) for cell in row))
    console.print(table)
    if section["note"]:
        console.print(escape(section["note"]))
