"""From a configuration to the reward as a job carries it."""

from __future__ import annotations

from salmon_core.api.models import ModelSpec
from salmon_core.api.reward import RewardSpec, Veto
from salmon_core.config.run_config import RunConfig


def reward_spec(config: RunConfig, model: ModelSpec | None, *, policy: ModelSpec | None = None) -> RewardSpec:
    """The configured reward.

    Args:
        model: the trained reward model; None where its weight is 0, or before it is trained.
        policy: whose tokenizer it is about, where that is not the configured one; no stage changes the tokenizer.
    """
    section = config.config.reward
    return RewardSpec(
        template=config.reward_template_spec,
        limits=config.limits,
        engine=config.engines["reward"],
        model=None if section.rm_weight == 0 else model,
        policy=policy or config.models["policy"],
        rm_weight=section.rm_weight,
        combine=section.combine,
        weights={principle.name: principle.weight for principle in config.reward_principles},
        interventions=config.interventions,
        bonuses=config.bonuses,
        file_plugins=tuple(str(path) for path in config.file_plugins),
        on_failure=section.on_failure,
        veto=None if section.veto is None else Veto(section.veto.below, section.veto.floor),
        explain_every=section.explain_every,
    )
