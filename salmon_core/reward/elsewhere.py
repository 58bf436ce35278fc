"""Rollouts that no run generated: of `salmon score`, and of whoever asks the reward server."""

from __future__ import annotations

from collections.abc import Sequence

from salmon_core.api.models import TokenCodec
from salmon_core.api.principles import Principle
from salmon_core.config.run_config import RunConfig
from salmon_core.principles.draw import draw_for_policy
from salmon_core.records import Prompt, ShownPrinciple
from salmon_core.rng import named_rng


def draw_for(config: RunConfig, prompt: Prompt, names: Sequence[str] = ()) -> tuple[ShownPrinciple, ...]:
    """The principles for a prompt of no run: all of `names`, or as many as configured; a function of the prompt."""
    principles = config.reward_principles
    pool: list[Principle] = [principles[name] for name in names] or list(principles)
    show = len(pool) if names else config.config.reward.show
    rng = named_rng(config.config.run.seed, "score", prompt.id)
    drawn = draw_for_policy(pool, rng, show=show, category=prompt.category)
    return tuple(config.shown(principles[each.name]) for each in drawn)


def count_tokens(codec: TokenCodec, completion: str, completion_ids: Sequence[int]) -> int:
    """Tokens of a completion without the EOS, for whoever does not say how many there were."""
    if completion_ids:
        return sum(token != codec.eos_id for token in completion_ids)
    return len(codec.encode(completion))
