"""Rollouts that no run generated: of `salmon score`, and of whoever asks the reward server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from salmon_core.api.models import TokenCodec
from salmon_core.config.run_config import RunConfig
from salmon_core.data.shown import by_label
from salmon_core.records import Prompt, ShownPrinciple
from salmon_core.reward.reading import label
from salmon_core.rng import named_rng


def draw_for(config: RunConfig, prompt: Prompt, names: Sequence[str] = ()) -> tuple[ShownPrinciple, ...]:
    """The principles for a prompt of no run: all of `names`, or as many as configured; a function of the prompt."""
    rng = named_rng(config.config.run.seed, "score", prompt.id)
    if not names:
        return config.pools.draw(prompt, rng, show=config.config.reward.show)
    chosen = [config.reward_principles[name] for name in names]
    return replace(config.pools, principles=tuple(chosen), per_prompt=None).draw(prompt, rng, show=len(chosen))


def named_principles(config: RunConfig) -> dict[str, ShownPrinciple]:
    """Those that may be named: of the reward's set and its interventions, by the name in a breakdown."""
    return {label(item.shown): item.shown for item in config.interventions} | by_label(config.reward_principles)


def count_tokens(codec: TokenCodec, completion: str, completion_ids: Sequence[int]) -> int:
    """Tokens of a completion without the EOS, for whoever does not say how many there were."""
    if completion_ids:
        return sum(token != codec.eos_id for token in completion_ids)
    return len(codec.encode(completion))
