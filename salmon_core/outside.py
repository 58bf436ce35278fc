"""Rollouts of prompts and completions from outside a run: of `salmon score`, and of whoever asks the reward server."""

from __future__ import annotations

from collections.abc import Sequence

from salmon_core.draws import draw_for_policy, named_rng
from salmon_core.interfaces import TokenCodec
from salmon_core.principles import Principle
from salmon_core.records import Prompt, Rollout, ShownPrinciple
from salmon_core.resolve import Resolved
from salmon_core.reward import Reward


def drawn_outside(resolved: Resolved, prompt: Prompt, names: Sequence[str] = ()) -> tuple[ShownPrinciple, ...]:
    """The principles for a prompt of no run: all of `names`, or as many as configured; a function of the prompt."""
    principles = resolved.reward_principles
    pool: list[Principle] = [principles[name] for name in names] or list(principles)
    show = len(pool) if names else resolved.config.reward.show
    rng = named_rng(resolved.config.run.seed, "score", prompt.id)
    drawn = draw_for_policy(pool, rng, show=show, category=prompt.category)
    return tuple(resolved.shown(principles[each.name]) for each in drawn)


def outside_rollout(
    reward: Reward,
    codec: TokenCodec,
    prompt: Prompt,
    completion: str,
    shown: Sequence[ShownPrinciple],
    *,
    completion_ids: Sequence[int] = (),
    n_tokens: int | None = None,
    stopped: bool = True,
    rollout_index: int = 0,
) -> Rollout:
    """A rollout with the interventions in force; what is not known of its tokens is counted with the policy's codec."""
    if n_tokens is None:
        ids = completion_ids or codec.encode(completion)
        n_tokens = sum(i != codec.eos_id for i in ids) if completion_ids else len(ids)
    return Rollout(
        prompt.id,
        prompt.messages,
        completion,
        completion_ids=tuple(completion_ids),
        n_tokens=n_tokens,
        stopped=stopped,
        category=prompt.category,
        principles=reward.shown(tuple(shown), rollout_index),
        rollout_index=rollout_index,
    )
