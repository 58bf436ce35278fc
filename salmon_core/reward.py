"""The one reward: used unchanged by `salmon score`, inside a trainer, and behind the reward server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from salmon_core.records import RewardBreakdown, Rollout

#: columns of `rl_prompts.parquet`, one row per prompt and visit: `row` int, `prompt_id` str, `prompt` str (the policy's
#: prompt text, final), `messages` list<struct<role, content>>, `category` str,
#: `principles` list<struct<name: str, text: str, negated: bool>> (drawn ones; interventions are added by rollout index)
RL_COLUMNS = ("row", "prompt_id", "prompt", "messages", "category", "principles")


class Reward:
    """Scores rollouts."""

    #: `rm`, then the bonuses in configured order
    names: tuple[str, ...]

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Reward:
        """From a job's `reward`: loads plugins, bonuses and the reward model (unless its weight is 0)."""
        raise NotImplementedError

    def rollout(
        self,
        row: Mapping[str, Any],
        completion: str,
        *,
        completion_ids: Sequence[int],
        n_tokens: int,
        stopped: bool,
        rollout_index: int,
    ) -> Rollout:
        """A rollout of a row of `rl_prompts.parquet`: its drawn principles, behind the interventions now in force."""
        raise NotImplementedError

    def __call__(self, rollouts: Sequence[Rollout]) -> list[RewardBreakdown]:
        raise NotImplementedError
