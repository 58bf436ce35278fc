"""The same configuration at a small scale: a few prompts and a few steps through all stages."""

from __future__ import annotations

from pathlib import Path

from salmon_core.config.resolve import from_document
from salmon_core.config.run_config import RunConfig
from salmon_core.errors import boundary

_SECTIONS = {"sft": "sft", "train-rm": "reward_model", "train-policy": "train"}
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
            document[_SECTIONS[stage]]["options"] = options
    return from_document(document, Path(config.base), source=config.source)
