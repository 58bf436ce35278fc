"""A run told to a person at a terminal, or to a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from salmon_core.interfaces import STAGES, Event

#: numbers worth a place on the progress line, in order of preference
_TELLING = ("reward", "loss", "eval_accuracy", "accuracy", "kl")


class ConsoleWatcher:
    """Shows a live line per stage on a terminal, and plain lines elsewhere."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        self._live: Progress | None = None
        self._task: Any = None
        self._last = 0.0

    def started(self, stage: str, *, resumed: bool) -> None:
        self._close()
        if not self.console.is_terminal:
            self.console.print(f"{stage:13} {'goes on where it was' if resumed else 'starts'}")
            return
        self._live = Progress(
            SpinnerColumn(),
            TextColumn(f"{stage:13}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self._live.start()
        self._task = self._live.add_task("resumes" if resumed else "", total=None)

    def progress(self, stage: str, done: int, total: int, what: str) -> None:
        if self._live is not None:
            self._live.update(self._task, completed=done, total=total, description=what)
        elif time.monotonic() - self._last > 10:
            self._last = time.monotonic()
            self.console.print(f"{stage:13} {done}/{total} {what}")

    def event(self, stage: str, event: Event) -> None:
        names = [name for name in _TELLING if name in event.values]
        text = " ".join(f"{name} {event.values[name]:.4g}" for name in names[:3])
        if self._live is not None:
            self._live.update(self._task, completed=event.step, description=text)
        elif time.monotonic() - self._last > 10:
            self._last = time.monotonic()
            self.console.print(f"{stage:13} step {event.step} {text}")

    def finished(self, stage: str, manifest: Mapping[str, Any]) -> None:
        self._close()
        if stage == "report":
            return
        if manifest.get("skipped"):
            self.console.print(f"{stage:13} [dim]already done[/dim]")
            return
        numbers = [
            f"{escape(key)} {_short(value)}" for key, value in manifest.get("metrics", {}).items() if _plain(value)
        ]
        self.console.print(
            f"{stage:13} [green]done[/green] {manifest.get('seconds', 0):7.1f} s  {'  '.join(numbers[:5])}"
        )

    def note(self, text: str) -> None:
        self.console.print(f"[yellow]note[/yellow] {escape(text)}")

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_report(report: Mapping[str, Any], console: Console) -> None:
    """A report as tables."""
    shown = escape(", ".join(report["principles"]["rewarded"]))
    heading = f"{escape(report['run'])}[/bold]  {escape(report['algorithm'])}, seed {report['seed']}"
    console.print(f"\n[bold]{heading}, rewarded: {shown}")
    if report["principles"]["interventions"]:
        console.print(f"interventions: {escape(', '.join(report['principles']['interventions']))}")
    if report["targets"]:
        table = Table("rate on held-out prompts", "before", "after", "change", "95 % interval", "bonus?")
        for target in report["targets"]:
            low, high = target["ci"]
            table.add_row(
                escape(target["name"]),
                f"{target['before']:.3f}",
                f"{target['after']:.3f}",
                f"{target['after'] - target['before']:+.3f}",
                f"{low:+.3f} .. {high:+.3f}",
                escape(target.get("touched_by") or "none"),
            )
        console.print(table)
    if report["rm"]:
        _print_rm(report["rm"], console)
    for name, values in report["evaluators"].items():
        plain = {key: value for key, value in values.items() if _plain(value)}
        if plain:
            console.print(escape(f"{name}: " + "  ".join(f"{key} {_short(value)}" for key, value in plain.items())))
    seconds = sum(stage["seconds"] or 0 for stage in report["stages"].values())
    river = sorted(report["stages"].items(), key=lambda item: STAGES.index(item[0]))
    times = ", ".join(f"{name} {stage['seconds'] or 0:.0f}" for name, stage in river)
    console.print(f"{seconds:.0f} s in all ({times})")
    if report["deviations"]:
        console.print(f"{len(report['deviations'])} deviations from the paper's numbers are listed in report.json")
    for item in report["expect"]:
        bounds = " ".join(f"{key} {item[key]}" for key in ("min", "max") if item[key] is not None)
        verdict = "[green]holds[/green]" if item["holds"] else "[red]FAILS[/red]"
        value = "missing" if item["value"] is None else _short(item["value"])
        console.print(f"{verdict}  {escape(item['metric'])} = {escape(value)} ({bounds})")


def _print_rm(rm: Mapping[str, Any], console: Console) -> None:
    for name in ("positive", "negated"):
        if _plain(rm.get(name)):
            console.print(f"reward model, held-out accuracy, {name}: {rm[name]:.3f}")
    for way, sets in rm.get("sets", {}).items():
        text = "  ".join(f"{size}: {value:.3f}" for size, value in sets.items() if _plain(value))
        console.print(escape(f"reward model, sets of k principles, {way}:  {text}"))
