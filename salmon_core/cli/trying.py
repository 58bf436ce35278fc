"""`salmon try`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from salmon_core.cli.output import OUT
from salmon_core.cli.patience import patient
from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.records import Prompt
from salmon_core.run.run import Run
from salmon_core.seeing.asked import one_prompt, prompts_of
from salmon_core.seeing.trying import Tried, try_prompt


def try_run(
    folder: Path,
    text: str | None,
    prompt_id: str | None,
    completion: str | None,
    *,
    category: str,
    temperature: float,
    samples: int,
    as_json: bool,
    file_plugins: bool,
) -> None:
    """Answers a prompt by the policies of a run, and prints rewards."""
    if text is not None and prompt_id is not None:
        raise SalmonError("give either --prompt or --prompt-id")
    run = Run.open(folder, file_plugins=file_plugins, announce=announce_file_plugin)
    if text is not None:
        if not text.strip():
            raise SalmonError("is empty", where="--prompt")
        prompt = Prompt.from_text(text, category=category)
    else:
        prompt = one_prompt(prompts_of(run), prompt_id, "test")
    with patient(run.config, folder):
        tried = try_prompt(run, prompt, completion, temperature=temperature, samples=samples)
    if as_json:
        print(json.dumps(asdict(tried), indent=1, ensure_ascii=False))
        return
    _tell(tried)


def _tell(tried: Tried) -> None:
    OUT.print(f"[bold]prompt[/bold] {escape(tried.prompt.text)}")
    if tried.note:
        OUT.print(escape(f"note: {tried.note}"))
    shown = ", ".join(tried.principles) or "none"
    OUT.print(escape(f"rewards for the principles {shown}"))
    names = list(tried.answers[0].reward.components)
    table = Table("policy", "reward", *map(escape, names), "answer")
    for answer in tried.answers:
        numbers = [f"{answer.reward.components[name]:+.3f}" for name in names]
        text = answer.text if answer.stopped else f"{answer.text} ..."
        table.add_row(answer.by, f"{answer.reward.total:+.3f}", *numbers, escape(text))
    OUT.print(table)
    if tried.without is None:
        return
    OUT.print(escape(f"the reward model's score of: {tried.scored}"))
    scores = Table("principle", "shown alone", "negated", "difference")
    for each in tried.under:
        both = each.shown is not None and each.negated is not None
        gap = f"{each.shown - each.negated:+.3f}" if both else ""  # type: ignore[operator]
        scores.add_row(escape(each.name), _number(each.shown), _number(each.negated), gap)
    scores.add_row("[dim]none shown[/dim]", _number(tried.without), "", "")
    OUT.print(scores)
    OUT.print(
        "[dim]A score compares with those of other answers under the same principle, not with those under others.[/dim]"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"
