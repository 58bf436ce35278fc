"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from salmon_core.api import Component
from salmon_core.api.hooks import hookimpl

#: The shipped policy, a plain Hugging Face folder.
MODEL = Path(__file__).parent / "data" / "model"
#: The shipped base, likewise.
BASE = Path(__file__).parent / "data" / "base"
#: Of the wide world, by size, likewise.
WIDE = {size: Path(__file__).parent / "data" / f"wide-{size}" for size in ("0.5m", "1m")}


@hookimpl
def salmon_models() -> Iterable[Component]:
    """The models `plugin:minnow`, `plugin:minnow-base`, and `plugin:minnow-wide-SIZE`."""
    yield Component("minnow", MODEL, "half a million parameters that answer, and judge, in a tiny world")
    yield Component("minnow-base", BASE, "the same with worse habits, and able to follow principles that it is shown")
    for size, folder in WIDE.items():
        yield Component(
            f"minnow-wide-{size}", folder, f"{size.upper()} parameters that judge by the 64 principles of minnow-wide"
        )


@hookimpl
def salmon_prompts() -> Iterable[Component]:
    """The prompt source `minnow`."""
    yield Component("minnow", "salmon_minnow.prompts:MinnowPrompts", "the minnow world's prompts, some held out")


@hookimpl
def salmon_principle_sets() -> Iterable[Component]:
    """The sets `minnow`, `minnow-wordings`, `minnow-rl`, `minnow-interventions`, and `minnow-wide` in two wordings."""
    yield Component("minnow", "salmon_minnow.sets:ALL", "all eight principles, for judging and the reward model")
    yield Component("minnow-wordings", "salmon_minnow.sets:WORDINGS", "all eight principles in other words")
    yield Component("minnow-rl", "salmon_minnow.sets:RL", "six that an answer can follow all at once, weighted, for RL")
    yield Component("minnow-interventions", "salmon_minnow.sets:INTERVENTIONS", "prohibitions of praising oneself")
    yield Component("minnow-wide", "salmon_minnow.sets:WIDE", "the 64 principles of the wide world")
    yield Component("minnow-wide-reworded", "salmon_minnow.sets:WIDE_REWORDED", "the same 64 in other words")


@hookimpl
def salmon_templates() -> Iterable[Component]:
    """The template `minnow`, the only one its policy can read."""
    yield Component("minnow", "salmon_minnow.formats:TEMPLATE", "judge and reward texts as its policy knows them")


@hookimpl
def salmon_oracles() -> Iterable[Component]:
    """The oracle `minnow`."""
    yield Component("minnow", "salmon_minnow.evaluator:MinnowTruth", "ground truth for the minnow world's principles")


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    """The evaluator `minnow-oracle`."""
    yield Component(
        "minnow-oracle", "salmon_minnow.evaluator:MinnowOracle", "what plain rules read off answers to held-out prompts"
    )


@hookimpl
def salmon_starters() -> Iterable[Component]:
    """The starting point of `salmon init --model plugin:minnow`."""
    yield Component("minnow", "salmon_minnow.starter:STARTER", "a run on the embedded world, in minutes")
