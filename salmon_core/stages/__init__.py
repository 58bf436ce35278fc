"""The stages of a run, one file each, and their order. A new stage is a file here and a name in `STAGES`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salmon_core.stages.base import Stage

#: names, in order; the stage `train-rm` is `STAGE` in the module `train_rm`
STAGES = (
    "prompts",
    "sft",
    "sample",
    "judge",
    "verdict",
    "label",
    "pretrain-rm",
    "train-rm",
    "train-policy",
    "evaluate",
    "report",
)


def stage(name: str) -> Stage[Any]:
    """A stage by its name."""
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    found: Stage[Any] = module.STAGE
    return found
