"""`salmon principles check`."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from salmon_core.api.principles import PrincipleSet
from salmon_core.cli.output import ERR, OUT
from salmon_core.cli.principles import about_file, counted, find_set
from salmon_core.errors import ConfigError
from salmon_core.principles.lint import Finding, lint, ranked
from salmon_core.principles.yaml import principle_lines

_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
_NAMES = 6


def check_set(
    name: str,
    model: str | None,
    prompts: str | None,
    completions: Path | None,
    overrides: Sequence[str],
    *,
    strict: bool,
    as_json: bool,
) -> int:
    """Prints what is doubtful about a set; the exit code.

    Raises:
        click.UsageError: what only a judge needs, and no judge.
    """
    if model is None and (prompts is not None or completions is not None or overrides):
        raise click.UsageError("--prompts, --completions and --set need a judge: give --model")
    if prompts is not None and completions is not None:
        raise click.UsageError("give --prompts or --completions, not both")
    found, findings = _read(name)
    judged: dict[str, int] = {}
    if found is not None:
        findings += lint(found, places=_places(name))
        if model is not None:
            findings += _judged(name, model, prompts, completions, overrides, judged)
    findings = ranked(findings)
    if as_json:
        values = {"set": name, "principles": 0 if found is None else len(found), **judged}
        print(json.dumps({**values, "findings": [asdict(each) for each in findings]}, ensure_ascii=False, indent=1))
    else:
        _print(name, found, judged, findings)
    worst = {each.severity for each in findings}
    return int("error" in worst or (strict and "warning" in worst))


def _read(name: str) -> tuple[PrincipleSet | None, list[Finding]]:
    """The set; or what is wrong with its file, as findings.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
    """
    try:
        return find_set(name), []
    except ConfigError as error:
        if not Path(name).is_file():
            raise
        hint = "see docs/principles.md"
        return None, [
            Finding("error", "unreadable", (), each.message, each.hint or hint, each.place) for each in error.problems
        ]


def _places(name: str) -> dict[str, str]:
    path = Path(name)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return {}
    return {each: f"{name}:{line}" for each, line in principle_lines(path).items()}


def _judged(
    name: str,
    model: str,
    prompts: str | None,
    completions: Path | None,
    overrides: Sequence[str],
    counts: dict[str, int],
) -> list[Finding]:
    """What a judge makes of the set; `counts` is told on what."""
    from salmon_core.check.principles import ask_judge, judged_findings, judging_config

    with tempfile.TemporaryDirectory(prefix="salmon-prompts-") as work:
        with about_file("--model and --set"):
            config = judging_config(name, model, prompts, overrides, Path.cwd(), Path(work))
        answers = ask_judge(
            config,
            completions,
            note=lambda text: ERR.print(f"note: {escape(text)}"),
            tell=lambda text: ERR.print(escape(text)) if sys.stderr.isatty() else None,
        )
    counts.update(prompts=answers.prompts, pairs=len(answers.pairs))
    return judged_findings(answers, config.judge_principles.names)


def _print(name: str, found: PrincipleSet | None, judged: dict[str, int], findings: Sequence[Finding]) -> None:
    numbers = {kind: sum(each.severity == kind for each in findings) for kind in ("error", "warning")}
    said = ", ".join(counted(number, kind) for kind, number in numbers.items() if number)
    colour = "red" if numbers["error"] else "yellow" if numbers["warning"] else "green"
    OUT.print(f"[{colour}]{said or 'ok'}[/{colour}] {escape(name)}")
    summary: dict[str, Any] = {}
    if found is not None:
        summary["principles"] = f"{len(found)}, {sum(each.negated is not None for each in found)} with a negated text"
    if judged:
        summary["judged"] = (
            f"{counted(judged['pairs'], 'pair')} of completions, of {counted(judged['prompts'], 'prompt')}"
        )
    for key, value in summary.items():
        OUT.print(f"  {key:14}{escape(value)}")
    for each in findings:
        colour = _COLOURS[each.severity]
        names = ", ".join(each.principles[:_NAMES]) + (", ..." if len(each.principles) > _NAMES else "")
        place = ": ".join(filter(None, [each.where, names]))
        text = f"{place}: {each.message} ({each.hint})" if place else f"{each.message} ({each.hint})"
        OUT.print(f"  [{colour}]{each.severity}[/{colour}] {escape(text)}")
