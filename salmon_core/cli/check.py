"""`salmon check`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from salmon_core.check.apart import LIMIT, check_apart
from salmon_core.cli.output import ERR, OUT
from salmon_core.config.resolve import load
from salmon_core.config.run_config import RunConfig
from salmon_core.kit.commands import announce_file_plugins
from salmon_core.pipeline import Pipeline


def check_config(
    path: Path, overrides: Sequence[str], *, file_plugins: bool, quick: bool = False, limit: float = LIMIT
) -> None:
    """Prints a summary, or raises with all problems.

    Args:
        quick: try nothing in a process apart; `limit` is that one's, in seconds.
    """
    config = load(path, overrides, file_plugins=file_plugins)
    announce_file_plugins(config)
    pipeline = Pipeline(config)
    pipeline.plans()
    notes = [] if quick else tried(config, pipeline.folder, limit)
    OUT.print(f"[green]ok[/green] {escape(str(path))}")
    for key, value in {**_summary(config), "stages": ", ".join(pipeline.stages)}.items():
        OUT.print(f"  {key:14}{escape(value if len(value) <= 300 else value[:297] + '...')}")
    for note in notes:
        OUT.print(f"  [dim]note[/dim] {escape(note)}")
    for broken in config.registry.broken[:5]:
        OUT.print(f"  [yellow]broken plugin[/yellow] {escape(str(broken.owner))}: {escape(broken.reason[:200])}")


def tried(config: RunConfig, folder: Path, limit: float = LIMIT) -> list[str]:
    """Everything tried that can be tried without the models' weights; says what is being tried on a terminal.

    Returns:
        what to know.
    """
    if not ERR.is_terminal:
        return check_apart(config, folder, limit=limit)
    with ERR.status("checks") as status:
        return check_apart(config, folder, limit=limit, tell=lambda what: status.update(f"checks {escape(what)}"))


def _summary(config: RunConfig) -> dict[str, str]:
    section = config.config
    rl = config.backends.get("train-policy")
    return {
        "run": f"{section.run.name}, seed {section.run.seed}",
        "policy": section.policy.model,
        "prompts": config.prompts.name,
        "judge": f"{config.judge.name}, principles: {', '.join(config.judge_principles.names)}",
        "labels": config.labeller.name,
        "reward": f"{section.reward.show} of: {', '.join(config.reward_principles.names)}",
        "interventions": ", ".join(item.shown.name for item in config.interventions) or "none",
        "bonuses": ", ".join(f"{b.weight:g} x {b.label}" for b in config.bonuses) or "none",
        "train": "none" if rl is None else f"{section.train.algorithm} on {rl.component.name}",
        "evaluate": ", ".join(spec.name for spec in config.evaluators) or "nothing",
    }
