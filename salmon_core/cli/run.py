"""`salmon run`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.markup import escape

import salmon_core
from salmon_core.api import events
from salmon_core.cli.check import tried
from salmon_core.cli.console import ConsoleSubscriber
from salmon_core.cli.output import ERR, OUT
from salmon_core.cli.patience import patient
from salmon_core.cli.report import print_report
from salmon_core.cli.verdict import summary_of
from salmon_core.config.costs import within
from salmon_core.config.limited import NOT_PROVED, limited
from salmon_core.config.resolve import load
from salmon_core.data.files import write_text
from salmon_core.kit.commands import announce_file_plugins
from salmon_core.pipeline import Pipeline
from salmon_core.run.identity import fingerprint
from salmon_core.run.steering import recorded

#: in a run's folder: the configuration that was checked last; a run that goes on is not checked again
CHECKED = ".checked"
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class _Told(KeyboardInterrupt):
    """A signal told the run to end: all that Ctrl-C does, with another exit code."""

    def __init__(self, number: int):
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class _Where:
    """Knows where a run is, in words."""

    def __init__(self) -> None:
        self.text = "before its first stage"

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.StageStarted):
            self.text = f"during {event.stage}"
        elif isinstance(event, events.StageFinished):
            self.text = f"after {event.stage}"


@contextmanager
def _told_to_end() -> Iterator[None]:
    """In the block, SIGTERM and SIGHUP end the stage's processes before this one, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield
        return

    def end(number: int, _: FrameType | None) -> None:
        for each in before:  # the first is enough; another would interrupt the ending
            signal.signal(each, signal.SIG_IGN)
        raise _Told(number)

    # What is ignored already stays so: `nohup salmon run` outlives its terminal.
    before = {each: old for each in _ENDING if (old := signal.getsignal(each)) != signal.SIG_IGN}
    for each in before:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def run_pipeline(
    path: Path,
    overrides: Sequence[str],
    *,
    file_plugins: bool,
    start: str | None,
    until: str | None,
    verify: bool = False,
    quick: bool = False,
    limit: int | None = None,
    max_cost: float | None = None,
    replay: Path | None = None,
) -> int:
    """Runs, prints the report; 1 if an expectation does not hold, 128 and a signal's number if one ended the run.

    Args:
        quick: begin without the checks of `salmon check`.
        limit: train on so many prompts, for a few steps, as the run `NAME-limit`.
        max_cost: the option of this name of all engines that have it.
        replay: a record of interventions to follow, or the folder of its run.
    """
    where = _Where()
    with _told_to_end():
        try:
            config = load(path, overrides, file_plugins=file_plugins)
            if max_cost is not None:
                config = load(path, [*overrides, *within(config, max_cost)], file_plugins=file_plugins)
            announce_file_plugins(config)
            if limit is not None:
                config = limited(config, limit)
            entries = None if replay is None else recorded(replay)
            pipeline = Pipeline(config, subscribers=[where, ConsoleSubscriber()])
            if not quick:
                pipeline.plans()
                unchanged = fingerprint(config.document() | {"salmon": salmon_core.__version__})
                mark = pipeline.folder / CHECKED
                if not mark.is_file() or mark.read_text(encoding="utf-8", errors="replace") != unchanged:
                    where.text = "while checking"
                    for note in tried(config, pipeline.folder):
                        ERR.print(f"[dim]check[/dim] {escape(note)}")
                    pipeline.folder.mkdir(parents=True, exist_ok=True)
                    write_text(mark, unchanged)
                    where.text = "before its first stage"
            with patient(config, pipeline.folder):
                report = pipeline.run(start=start, until=until, verify=verify, replay=entries)
            if not report:
                return 0
            print_report(report, OUT, summary_of(pipeline.folder))
            made = pipeline.folder / "train-policy" / "model"
            model = f"   model: {made}" if "train-policy" in pipeline.stages else ""
            OUT.print(escape(f"report: {pipeline.folder / 'report.json'}{model}"))
            if limit is not None:
                OUT.print("all stages ran; what this did not show:")
                for text in NOT_PROVED:
                    OUT.print(f"  - {text}")
            return 0 if all(item["holds"] for item in report["expect"]) else 1
        except KeyboardInterrupt as error:
            what = str(error) or "interrupted"
            ERR.print(f"{what} {where.text}; what is finished is kept, and the same command goes on from there")
            return error.exit_code if isinstance(error, _Told) else 128 + signal.SIGINT
