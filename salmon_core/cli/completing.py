"""What the shell completes, for arguments of which click cannot know it. Light: no plugin's component is imported."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, split_arg_string

if TYPE_CHECKING:
    from salmon_core.plugins.registry import Owned

#: what a folder of a run has in it
_OF_A_RUN = ("events.jsonl", "report.json", "manifest.json")


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders of runs under `runs/`, or beside what is begun; other folders by the shell itself."""
    begun = Path(incomplete)
    above = begun if incomplete.endswith("/") else begun.parent
    folders = {*_runs_in(Path("runs")), *_runs_in(above)}
    found = [CompletionItem(str(each)) for each in sorted(folders) if str(each).startswith(incomplete)]
    return [CompletionItem(incomplete, type="dir"), *found]  # first: click's scripts drop what is before it


def complete_kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of component."""
    from salmon_core.api.hooks import KINDS

    return [CompletionItem(kind) for kind in KINDS if kind.startswith(incomplete)]


def complete_sets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of installed principle sets, or a file."""
    found = [
        CompletionItem(owned.name, help=owned.component.summary)
        for owned in _components("principle_sets")
        if owned.name.startswith(incomplete)
    ]
    return [CompletionItem(incomplete, type="file"), *found]


def complete_principles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the principles that the run rewards, as its trainer's job has them."""
    # From the line itself: click has no arguments yet where an option's value is begun.
    words = split_arg_string(os.environ.get("COMP_WORDS", ""))
    jobs = [job for word in words if (job := Path(word) / "train-policy" / "job.json").is_file()]
    try:
        names = [name for job in jobs for name in json.loads(job.read_bytes())["reward"]["weights"]]
    except (OSError, ValueError, KeyError, TypeError):  # not so far: there is nothing to complete
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _runs_in(folder: Path) -> list[Path]:
    try:
        inside = list(folder.iterdir())
        return [each for each in inside if any((each / name).is_file() for name in _OF_A_RUN)]
    except OSError:
        return []


def _components(kind: str) -> list[Owned]:
    from salmon_core.plugins.registry import Registry

    return Registry.discover().components(kind)
