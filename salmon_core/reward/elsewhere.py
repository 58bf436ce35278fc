"""Rollouts that no run generated: of `salmon score`, and of whoever asks the reward server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from salmon_core.api.models import TokenCodec
from salmon_core.config.run_config import RunConfig
from salmon_core.data.own_principles import name_of
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


def shown_by(known: Mapping[str, ShownPrinciple], text: str) -> ShownPrinciple | None:
    """The principle that a text stands for: one that is known by this name, or one in these words.

    Args:
        known: by the name in a breakdown: `NAME`, `not NAME`.

    Returns:
        None for a name that is not known; several words are a principle.
    """
    if text in known:
        return known[text]
    if " " not in text.strip() or (text.startswith("not ") and " " not in text.removeprefix("not ").strip()):
        return None
    return ShownPrinciple(name_of(text), text.strip())


def known_principles(config: RunConfig) -> dict[str, ShownPrinciple]:
    """Those that may be named: of the reward's set and its interventions, by the name in a breakdown."""
    shown = [item.shown for item in config.interventions]
    for principle in config.reward_principles:
        shown += [principle.shown(), *([principle.shown(negated=True)] if principle.negated else [])]
    return {label(each): each for each in shown}


def count_tokens(codec: TokenCodec, completion: str, completion_ids: Sequence[int]) -> int:
    """Tokens of a completion without the EOS, for whoever does not say how many there were."""
    if completion_ids:
        return sum(token != codec.eos_id for token in completion_ids)
    return len(codec.encode(completion))
