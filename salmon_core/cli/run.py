"""`salmon run`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from salmon_core.cli.console import ConsoleSubscriber
from salmon_core.cli.output import OUT
from salmon_core.cli.report import print_report
from salmon_core.config.resolve import load
from salmon_core.kit.commands import announce_file_plugins
from salmon_core.pipeline import Pipeline


def run_pipeline(
    path: Path,
    overrides: Sequence[str],
    *,
    file_plugins: bool,
    start: str | None,
    until: str | None,
    verify: bool = False,
) -> int:
    """Runs, prints the report; 1 if an expectation does not hold."""
    config = load(path, overrides, file_plugins=file_plugins)
    announce_file_plugins(config)
    pipeline = Pipeline(config, subscribers=[ConsoleSubscriber()])
    report = pipeline.run(start=start, until=until, verify=verify)
    if not report:
        return 0
    print_report(report, OUT)
    made = pipeline.folder / "train-policy" / "model"
    model = f"   model: {made}" if "train-policy" in pipeline.stages else ""
    OUT.print(escape(f"report: {pipeline.folder / 'report.json'}{model}"))
    return 0 if all(item["holds"] for item in report["expect"]) else 1
