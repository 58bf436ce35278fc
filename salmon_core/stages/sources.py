"""What stages read: the configuration, what earlier stages made, and models by their roles, each with an identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import salmon_core
from salmon_core.api.models import ModelSpec
from salmon_core.config.run_config import RunConfig
from salmon_core.plugins.registry import Registry
from salmon_core.run.folder import MadeFrom, StageFolder
from salmon_core.run.identity import fingerprint, identity
from salmon_core.run.run import Run
from salmon_core.stages import STAGES, stage


@dataclass(frozen=True)
class StageOutput:
    """What an earlier stage made; its identity is that stage's fingerprint."""

    name: str
    sources: Sources

    @property
    def folder(self) -> StageFolder:
        """Where it is."""
        return StageFolder(self.sources.run.path, self.name)

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path

    def identity(self) -> str:
        """The fingerprint of the stage."""
        return self.sources.fingerprint(self.name)


@dataclass(frozen=True)
class ModelInput:
    """A model that a stage reads: one of the configuration, or what an earlier stage made."""

    spec: ModelSpec
    made_by: StageOutput | None
    registry: Registry

    def identity(self) -> Any:
        """Of a model made here the stage's fingerprint, else the model's content."""
        return self.made_by.identity() if self.made_by is not None else identity(self.spec, self.registry)


class Sources:
    """Where stages take their inputs from: a run's configuration, and the stages before them."""

    def __init__(self, run: Run):
        self.run = run
        self._fingerprints: dict[str, str] = {}

    @property
    def config(self) -> RunConfig:
        """Of the run."""
        return self.run.config

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that this configuration needs, in order."""
        return tuple(name for name in STAGES if stage(name).active(self.config))

    def output(self, name: str) -> StageOutput:
        """What an earlier stage makes."""
        return StageOutput(name, self)

    def identity(self, name: str) -> dict[str, Any]:
        """What a stage is made from; equal ones mean an equal result."""
        inputs = identity(stage(name).inputs(self), self.config.registry)
        return {"stage": name, "core": salmon_core.__version__, **inputs}

    def fingerprint(self, name: str) -> str:
        """The identity of a stage, in short."""
        if name not in self._fingerprints:
            self._fingerprints[name] = fingerprint(self.identity(name))
        return self._fingerprints[name]

    def made_from(self, name: str) -> MadeFrom:
        """What a stage's result follows from; the stages that it reads have to be finished."""
        read = {output.name: output.folder.content for output in _read(stage(name).inputs(self))}
        return MadeFrom(self.fingerprint(name), self.identity(name), read)

    # -- models by role ----------------------------------------------------------------------------------------------

    def base(self) -> ModelInput:
        """The configured policy."""
        return ModelInput(self.config.models["policy"], None, self.config.registry)

    def initial(self) -> ModelInput:
        """The policy before RL."""
        return self._model(self.run.initial, "sft")

    def aligned(self) -> ModelInput:
        """The policy after RL."""
        return self._model(self.run.aligned, "train-policy", "sft")

    def reward_model(self) -> ModelInput | None:
        """The reward model, where the run has one."""
        spec = self.run.reward_model
        return None if spec is None else self._model(spec, "train-rm")

    def reward_start(self) -> ModelInput:
        """What the reward model starts from on rows with principles: what it was pre-trained to, where it was."""
        found = self.named("reward-init")
        if not self.config.pretrains_reward_model:
            return found
        return self._model(self.run.pretrained_reward_model(found.spec), "pretrain-rm")

    def named(self, role: str) -> ModelInput:
        """A model that the configuration names for a role, else the initial policy."""
        if role not in self.config.models:
            return self.initial()
        return ModelInput(self.config.models[role], None, self.config.registry)

    def _model(self, spec: ModelSpec, *stages: str) -> ModelInput:
        made = next((name for name in stages if spec.path == str(self.output(name).path / "model")), None)
        return ModelInput(spec, None if made is None else self.output(made), self.config.registry)


def _read(value: Any) -> Iterator[StageOutput]:
    """What an input reads of earlier stages."""
    if isinstance(value, StageOutput):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _read(getattr(value, each.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _read(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _read(item)
