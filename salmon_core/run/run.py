"""A run by its folder: its configuration, and where its models are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from salmon_core.api.models import ModelSpec
from salmon_core.api.reward import RewardSpec
from salmon_core.config.resolve import from_saved
from salmon_core.config.run_config import RunConfig
from salmon_core.data.files import full_path, nameable
from salmon_core.data.interventions import RECORD
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import StageError
from salmon_core.reward.spec import reward_spec
from salmon_core.reward.steering import with_record
from salmon_core.run.folder import StageFolder

CONFIG = "config.json"


class Run:
    """A run, finished or not.

    Attributes:
        path: its folder.
        config: its configuration with everything looked up.
    """

    def __init__(self, path: Path, config: RunConfig):
        self.path, self.config = nameable(full_path(path)), config

    @classmethod
    def open(cls, path: Path, *, file_plugins: bool = True, announce: Callable[[Path], None] | None = None) -> Run:
        """A run by its folder, with the configuration it was last run with.

        Args:
            file_plugins: whether it may name some.
            announce: called with each of them before any of its code runs.

        Raises:
            StageError: no run there.
            ConfigError: its configuration does not hold any more, or names file plugins that are refused.
        """
        saved = read_json(path / CONFIG)
        if not isinstance(saved, dict) or not all(isinstance(saved.get(key), str) for key in ("base", "source")):
            raise StageError("there is no run in this folder", where=str(path))
        return cls(path, from_saved(saved, file_plugins=file_plugins, announce=announce))

    def save(self) -> None:
        """Leaves the configuration for `open`."""
        write_json(self.path / CONFIG, self.config.document())

    def stage(self, name: str) -> StageFolder:
        """A stage's folder."""
        return StageFolder(self.path, name)

    @property
    def record(self) -> Path:
        """The interventions of a person, or a monitor, while it ran; need not be there."""
        return self.path / RECORD

    @property
    def initial(self) -> ModelSpec:
        """The policy before RL: after `sft`, where there is one."""
        base = self.config.models["policy"]
        return base if self.config.config.sft is None else self._made("sft", base)

    @property
    def aligned(self) -> ModelSpec:
        """The policy after RL; the initial one where there is none."""
        if self.config.config.train.algorithm == "none":
            return self.initial
        return self._made("train-policy", self.initial)

    @property
    def reward_model(self) -> ModelSpec | None:
        """The reward model, trained or not yet; None where its weight is 0 and no path is given."""
        if "reward" in self.config.models:
            return self.config.models["reward"]
        if not self.config.trains_reward_model:
            return None
        conversational = self.config.reward_template.conversation is not None
        return replace(self._made("train-rm", self.initial), conversational=conversational)

    def pretrained_reward_model(self, start: ModelSpec) -> ModelSpec:
        """What `pretrain-rm` makes of this model."""
        return self._made("pretrain-rm", start)

    def _made(self, stage: str, like: ModelSpec) -> ModelSpec:
        return replace(like, path=str(self.stage(stage).path / "model"), adapter=None)

    def reward_spec(self) -> RewardSpec:
        """The reward, ready to score with; with what its record of interventions says now.

        Raises:
            StageError: the reward model has not been trained.
        """
        model = self.reward_model if self.config.config.reward.rm_weight != 0 else None
        if model is not None and "reward" not in self.config.models:
            self.stage("train-rm").need("model")
        return with_record(reward_spec(self.config, model), self.record)
