"""The same configuration at a small scale: a few prompts and a few steps through all stages."""

from __future__ import annotations

from pathlib import Path

from salmon_core.config.resolve import from_document
from salmon_core.config.run_config import RunConfig
from salmon_core.errors import boundary

_SECTIONS = {
    "sft": ("sft",),
    "pretrain-rm": ("reward_model", "pretrain"),
    "train-rm": ("reward_model",),
    "train-policy": ("train",),
}
#: rows for each prompt that a reward model is pre-trained on
_PRETRAINED = 4
#: said after such a run
NOT_PROVED = (
    "quality: nothing was trained long enough, and expectations were left out",
    "memory at the configured batch sizes, and with the longest texts",
    "the prompts beyond those taken, and time and disk of the whole",
)


def limited(config: RunConfig, prompts: int) -> RunConfig:
    """A configuration of the run `NAME-limit`.

    Args:
        prompts: to train on; a share as configured is held out besides, two at least.

    Raises:
        ConfigError: a backend's short options cannot work.
    """
    document = config.config.model_dump(mode="json")
    document["run"]["name"] += "-limit"
    document["prompts"]["limit"] = prompts
    document["expect"] = []
    for stage, choice in config.backends.items():
        spec = choice.component
        backend = config.registry.build(spec)
        algorithm = config.config.train.algorithm if stage == "train-policy" else None
        short = getattr(backend, "short", None)
        if short is not None:
            with boundary(spec.owner, f"backend {spec.name!r}, short"):
                options = dict(short(stage, algorithm, choice.options, config.launch.processes))
            section = document
            for key in _SECTIONS[stage]:
                section = section[key]
            section["options"] = options
    if (first := document["reward_model"]["pretrain"]) is not None:
        first["limit"] = min(first["limit"] or _PRETRAINED * prompts, _PRETRAINED * prompts)
    return from_document(document, Path(config.base), source=config.source)
