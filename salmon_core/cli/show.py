"""`salmon show`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.text import Text

from salmon_core.cli.output import OUT
from salmon_core.cli.patience import patient
from salmon_core.config.resolve import load
from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.reward.sections import ANSWER, TEMPLATE
from salmon_core.run.run import Run
from salmon_core.seeing.asked import one_prompt, prompts_of
from salmon_core.seeing.texts import Reader, Shown, ShownText, show_judge, show_policy, show_reward, show_self_align

_COLOURS = {
    TEMPLATE: "dim",
    ANSWER: "dim italic",
    "instruction": "cyan",
    "user": "cyan",
    "system": "blue",
    "assistant": "bright_blue",
    "first": "green",
    "completion": "green",
    "second": "magenta",
    "principle": "yellow",
    "principles": "yellow",
}


def show_text(
    reader: Reader,
    config: Path,
    overrides: Sequence[str],
    *,
    prompt: str | None,
    completions: Sequence[str],
    principles: Sequence[str],
    as_json: bool,
    file_plugins: bool,
) -> None:
    """Prints what a model reads."""
    run = _opened(config, overrides, file_plugins=file_plugins)
    if reader in ("policy", "self-align") and (completions or principles):
        where = "the policy" if reader == "policy" else reader
        raise SalmonError("reads neither completions nor principles", where=where, hint="leave them out")
    with patient(run.config, run.path if run.path.is_dir() else Path.cwd()):
        asked = one_prompt(prompts_of(run), prompt)
        if reader == "policy":
            shown = show_policy(run, asked)
        elif reader == "self-align":
            shown = show_self_align(run, asked)
        elif reader == "reward":
            shown = show_reward(run, asked, completions, principles)
        else:
            shown = show_judge(run, asked, completions, principles)
    if as_json:
        print(json.dumps(_document(shown), indent=1, ensure_ascii=False))
        return
    _tell(shown)


def _opened(config: Path, overrides: Sequence[str], *, file_plugins: bool) -> Run:
    if config.is_dir():
        if overrides:
            raise SalmonError("a run's folder has its own settings", where=str(config), hint="give a configuration")
        return Run.open(config, file_plugins=file_plugins, announce=announce_file_plugin)
    resolved = load(config, overrides, file_plugins=file_plugins, announce=announce_file_plugin)
    section = resolved.config.run
    return Run(Path(section.folder) / section.name, resolved)


def _document(shown: Shown) -> dict[str, Any]:
    return {
        "reader": shown.reader,
        "model": shown.model,
        "prompt": shown.prompt,
        "completions": shown.completions,
        "cut": shown.cut,
        "note": shown.note,
        "texts": [
            {
                "title": text.title,
                "text": text.text,
                "tokens": sum(text.counts),
                "sections": [
                    {"kind": section.kind, "text": section.text, "tokens": text.counts[index] if text.counts else None}
                    for index, section in enumerate(text.sections)
                ],
            }
            for text in shown.texts
        ],
    }


def _tell(shown: Shown) -> None:
    OUT.print(escape(f"{shown.reader} ({shown.model}), prompt {shown.prompt}") + _more(shown))
    if shown.cut:
        OUT.print(f"{shown.cut} tokens of prompt and completions are cut for want of room")
    for text in shown.texts:
        _tell_text(text)


def _more(shown: Shown) -> str:
    parts = [f"completions: {shown.completions}" if shown.completions else "", shown.note]
    return escape("".join(f"\n{part}" for part in parts if part))


def _tell_text(text: ShownText) -> None:
    tokens = f": {sum(text.counts)} tokens" if text.counts else ""
    OUT.print(f"\n[bold]{escape(text.title)}{tokens}[/bold]")
    if OUT.is_terminal:
        whole = Text()
        for section in text.sections:
            whole.append(section.text, style=_COLOURS.get(section.kind, ""))
        OUT.print(whole)
    for index, section in enumerate(text.sections):
        count = f"{text.counts[index]:5}" if text.counts else "     "
        if OUT.is_terminal:
            OUT.print(Text(f"{count}  {section.kind}", style=_COLOURS.get(section.kind, "")))
        else:
            for number, line in enumerate(section.text.splitlines() or [""]):
                head = f"{count} {section.kind:14}" if number == 0 else " " * 20
                print(f"{head}| {line}")
