"""What trainer backends say alike of memory: numbers that a row has at most, and the reward model beside a trainer."""

from __future__ import annotations

from dataclasses import replace

from salmon_core.api.memory import LowRank, Phase, ProcessMemory, Use
from salmon_core.api.models import ModelSpec
from salmon_core.api.training import Job
from salmon_core.config.names import find_template
from salmon_core.errors import SalmonError
from salmon_core.kit.training_options import LoRAOptions
from salmon_core.plugins.engines import engine_memory
from salmon_core.reward.reward import registry_of
from salmon_core.reward.scorers import ability_of


def low_rank(lora: LoRAOptions, *, trained: bool = True, bytes_each: int = 4) -> LowRank:
    """An adapter as the options name it."""
    targets = lora.target_modules
    named = None if targets is None or targets == "all-linear" else (targets,) if isinstance(targets, str) else targets
    return LowRank(lora.r, None if named is None else tuple(named), bytes_each, trained)


def prompt_tokens(job: Job) -> int:
    """Of a prompt in RL, at most."""
    return 0 if job.reward is None else job.reward.limits.prompt


def reward_process(job: Job) -> ProcessMemory | None:
    """What the reward's engine keeps to score rollouts; None where there is no reward model or that is not known."""
    spec = job.reward
    if spec is None or spec.model is None:
        return None
    registry = registry_of(spec)
    try:
        ability = ability_of(find_template(registry.owned(spec.template)))
        registry.owned(spec.engine)
    except SalmonError:
        return None  # plugins of another machine, say
    found = engine_memory(registry, spec.engine, spec.model, Use(ability, text=spec.limits.total))
    return found[0] if found else None


def beside(process: ProcessMemory, other: ProcessMemory | None, role: str) -> ProcessMemory:
    """One process that keeps what two would: the first's phases, then the second's, whose model gets this role."""
    if other is None or other.host != process.host or other.spread != 1:
        return process
    models = tuple(replace(each, role=role) for each in other.models)
    phases = tuple(
        Phase(each.name or role, tuple(replace(one, role=role) for one in each.passes)) for each in other.phases
    )
    return replace(process, models=(*process.models, *models), phases=(*process.phases, *phases))


def placed(model: ModelSpec, dtype: str) -> ModelSpec:
    """The same model with its weights in this type."""
    return replace(model, dtype=dtype)
