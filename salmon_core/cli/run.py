"""`salmon run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

import salmon_core
from salmon_core.cli.check import tried
from salmon_core.cli.console import ConsoleSubscriber
from salmon_core.cli.output import ERR, OUT
from salmon_core.cli.report import print_report
from salmon_core.config.resolve import load
from salmon_core.data.files import write_text
from salmon_core.kit.commands import announce_file_plugins
from salmon_core.pipeline import Pipeline
from salmon_core.run.identity import fingerprint

#: in a run's folder: the configuration that was checked last; a run that goes on is not checked again
CHECKED = ".checked"


def run_pipeline(
    path: Path,
    overrides: Sequence[str],
    *,
    file_plugins: bool,
    start: str | None,
    until: str | None,
    verify: bool = False,
    quick: bool = False,
) -> int:
    """Runs, prints the report; 1 if an expectation does not hold.

    Args:
        quick: begin without the checks of `salmon check`.
    """
    config = load(path, overrides, file_plugins=file_plugins)
    announce_file_plugins(config)
    pipeline = Pipeline(config, subscribers=[ConsoleSubscriber()])
    if not quick:
        pipeline.plans()
        unchanged = fingerprint(config.document() | {"salmon": salmon_core.__version__})
        mark = pipeline.folder / CHECKED
        if not mark.is_file() or mark.read_text(encoding="utf-8", errors="replace") != unchanged:
            for note in tried(config, pipeline.folder):
                ERR.print(f"[dim]check[/dim] {escape(note)}")
            pipeline.folder.mkdir(parents=True, exist_ok=True)
            write_text(mark, unchanged)
    report = pipeline.run(start=start, until=until, verify=verify)
    if not report:
        return 0
    print_report(report, OUT)
    made = pipeline.folder / "train-policy" / "model"
    model = f"   model: {made}" if "train-policy" in pipeline.stages else ""
    OUT.print(escape(f"report: {pipeline.folder / 'report.json'}{model}"))
    return 0 if all(item["holds"] for item in report["expect"]) else 1
