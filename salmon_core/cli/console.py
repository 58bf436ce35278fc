"""A run's events, told to a person at a terminal, or to a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from salmon_core.api import events
from salmon_core.cli.finished import in_words
from salmon_core.run.alarms import tried_words

#: numbers worth a place on the progress line, in order of preference
_TELLING = ("reward", "loss", "eval_accuracy", "accuracy", "kl")
#: made in an instant, and printed by itself
_REPORT = "report"
#: seconds between plain lines of progress, where there is no terminal
_PAUSE = 10.0
#: characters of a completion that stands below an alarm
_EXAMPLE = 160


class ConsoleSubscriber:
    """Shows a live line per stage on a terminal, and plain lines elsewhere.

    Args:
        clock: seconds, by which pace is measured.
    """

    def __init__(self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
        self._live: Progress | None = None
        self._task: Any = None
        self._last = 0.0
        #: how much was done when progress was first told in a stage, and when that was
        self._first: tuple[int, float] | None = None
        self._shows: Mapping[type[events.Event], Callable[[Any], None]] = {
            events.StageStarted: self._started,
            events.Progress: self._progress,
            events.StepLogged: self._step,
            events.StageFinished: self._finished,
            events.StageFailed: lambda _: self._close(),
            events.Intervened: self._intervened,
            events.AlarmRaised: self._alarm,
            events.Proposed: self._proposed,
            events.AlarmFollowed: self._followed,
            events.Note: self._note,
        }

    def __call__(self, event: events.Event) -> None:
        """Shows an event; those that say nothing to a person are passed over."""
        show = self._shows.get(type(event))
        if show is not None and getattr(event, "stage", None) != _REPORT:
            show(event)

    def _started(self, event: events.StageStarted) -> None:
        self._close()
        self._first = None
        if not self.console.is_terminal:
            self.console.print(f"{event.stage:13} {'goes on where it was' if event.resumed else 'starts'}")
            return
        self._live = Progress(
            SpinnerColumn(),
            TextColumn(f"{event.stage:13}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self._live.start()
        self._task = self._live.add_task("resumes" if event.resumed else "", total=None)

    def _progress(self, event: events.Progress) -> None:
        pace = self._pace(event.done, event.total)
        if self._live is not None:
            text = f"{event.what}{pace}"
            self._live.update(self._task, completed=event.done, total=event.total, description=text)
        else:
            self._seldom(f"{event.stage:13} {event.done}/{event.total} {event.what}{pace}")

    def _step(self, event: events.StepLogged) -> None:
        names = [name for name in _TELLING if name in event.values]
        text = " ".join(f"{name} {event.values[name]:.4g}" for name in names[:3])
        pace = self._pace(event.step, event.total)
        if self._live is not None:
            self._live.update(self._task, completed=event.step, total=event.total, description=text + pace)
        else:
            of = "" if event.total is None else f"/{event.total}"
            self._seldom(f"{event.stage:13} step {event.step}{of} {text}{pace}")

    def _pace(self, done: int, total: int | None) -> str:
        """How fast it goes, and what is left at that pace; "" until two moments are known.

        Counted from the first that this process was told of: what a killed run had done took no time now.
        """
        now = self._clock()
        if self._first is None or done < self._first[0]:
            self._first = done, now
        begun, since = self._first
        if done <= begun or now - since < 0.5:
            return ""
        rate = (done - begun) / (now - since)
        speed = f"{rate:.3g}/s" if rate >= 1 else f"{1 / rate:.3g} s each"
        left = "" if total is None or done >= total else f", {_clock((total - done) / rate)} left"
        return f"  {speed}{left}"

    def _seldom(self, line: str) -> None:
        if self._clock() - self._last > _PAUSE:
            self._last = self._clock()
            self.console.print(line)

    def _finished(self, event: events.StageFinished) -> None:
        self._close()
        if event.skipped:
            self.console.print(f"{event.stage:13} [dim]already done[/dim]")
            return
        said = in_words(event.stage, event.manifest.get("metrics") or {})
        seconds = event.manifest.get("seconds", 0)
        self.console.print(f"{event.stage:13} [green]done[/green] {seconds:7.1f} s  {escape(said)}".rstrip())

    def _intervened(self, event: events.Intervened) -> None:
        text = f"{event.id} by {event.who}, from generated batch {event.rollout_index} on: {event.text}"
        self.console.print(f"[yellow]intervention[/yellow] {escape(printable(text))}")

    def _note(self, event: events.Note) -> None:
        self.console.print(f"[yellow]note[/yellow] {escape(event.text)}")

    def _alarm(self, event: events.AlarmRaised) -> None:
        said = "alarm told again" if event.again else "alarm"
        self.console.print(f"[red]{said}[/red] {escape(printable(f'{event.monitor}: {event.text}'))}")
        for tried in event.tried:
            self.console.print(f"      since then {escape(printable(tried_words(tried)))}")
        for example in event.examples:
            self.console.print(f"      [dim]{escape(_line(example))}[/dim]")

    def _proposed(self, event: events.Proposed) -> None:
        self.console.print(f"[yellow]{escape(event.monitor)}[/yellow] {escape(printable(event.text))}")

    def _followed(self, event: events.AlarmFollowed) -> None:
        colour = "green" if event.state != "open" else "yellow"
        self.console.print(f"[{colour}]{escape(printable(f'{event.monitor}: {event.about}: {event.text}'))}[/{colour}]")

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def printable(text: str) -> str:
    """A text in one line, with spaces for what steers a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)


def _line(text: str) -> str:
    """A completion in one line of printable characters."""
    plain = printable(text)
    return plain if len(plain) <= _EXAMPLE else plain[: _EXAMPLE - 3] + "..."


def _clock(seconds: float) -> str:
    """As 0:07 or 1:02:07."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
