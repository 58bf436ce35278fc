"""The hooks. They only discover and observe: what runs, and in what order, stands in the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from salmon_core.interfaces import Component

NAMESPACE = "salmon"
hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)

#: kind of component -> the hook that yields it
KINDS: Mapping[str, str] = {
    "principle_sets": "salmon_principle_sets",
    "generators": "salmon_generators",
    "bonuses": "salmon_bonuses",
    "backends": "salmon_backends",
    "engines": "salmon_engines",
    "prompts": "salmon_prompts",
    "models": "salmon_models",
    "templates": "salmon_templates",
    "evaluators": "salmon_evaluators",
    "oracles": "salmon_oracles",
}


@hookspec
def salmon_principle_sets() -> Iterable[Component]:
    """Principle sets; a target is a `PrincipleSet`, or a path to a YAML file (`pathlib.Path`)."""
    raise NotImplementedError


@hookspec
def salmon_generators() -> Iterable[Component]:
    """Preference generators; see `salmon_core.interfaces.Generator`."""
    raise NotImplementedError


@hookspec
def salmon_bonuses() -> Iterable[Component]:
    """Symbolic rewards; see `salmon_core.interfaces.Bonus`."""
    raise NotImplementedError


@hookspec
def salmon_backends() -> Iterable[Component]:
    """Trainers; see `salmon_core.interfaces.Backend`."""
    raise NotImplementedError


@hookspec
def salmon_engines() -> Iterable[Component]:
    """Inference engines; see `salmon_core.interfaces.Engine`."""
    raise NotImplementedError


@hookspec
def salmon_prompts() -> Iterable[Component]:
    """Prompt sources; see `salmon_core.interfaces.PromptSource`."""
    raise NotImplementedError


@hookspec
def salmon_models() -> Iterable[Component]:
    """Models shipped with a plugin, `plugin:NAME` in a configuration; a target is a folder (`pathlib.Path`)."""
    raise NotImplementedError


@hookspec
def salmon_templates() -> Iterable[Component]:
    """Prompt templates; a target is a `salmon_core.rendering.Template`."""
    raise NotImplementedError


@hookspec
def salmon_evaluators() -> Iterable[Component]:
    """Evaluators; see `salmon_core.interfaces.Evaluator`."""
    raise NotImplementedError


@hookspec
def salmon_oracles() -> Iterable[Component]:
    """Ground truth, where a world has one; see `salmon_core.interfaces.Oracle`."""
    raise NotImplementedError


@hookspec
def salmon_run_started(run: str, config: Mapping[str, Any]) -> None:
    """Observer: a run starts. `run` is its folder, `config` the resolved configuration."""


@hookspec
def salmon_stage_finished(run: str, stage: str, manifest: Mapping[str, Any]) -> None:
    """Observer: a stage finished or was found finished (`manifest["skipped"]`)."""


@hookspec
def salmon_event(run: str, stage: str, step: int, values: Mapping[str, float]) -> None:
    """Observer: a training step was logged."""


@hookspec
def salmon_run_finished(run: str, report: Mapping[str, Any] | None, error: str | None) -> None:
    """Observer: the run ended, with its report or with an error."""
