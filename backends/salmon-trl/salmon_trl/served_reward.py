"""A reward server as the reward function of a TRL trainer of your own; needs no salmon run.

client = RewardClient.from_ready_file("server.json")
GRPOTrainer(..., reward_funcs=ServedReward(client, eos_token_ids=tokenizer.eos_token_id))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any

from salmon_core.kit.reward_client import RewardClient


class ServedReward:
    """A reward function for TRL's trainers (GRPO, RLOO): totals as rewards, each component as a logged metric.

    Columns `principles` and `category` of the data set are passed on where they exist.

    Args:
        client: of the server.
        eos_token_ids: ids that end a completion, like `tokenizer.eos_token_id`; TRL strips them from the text.
        steps_per_generation: optimizer steps that share a generated batch; makes the rollout index.
    """

    __name__ = "salmon"

    def __init__(self, client: RewardClient, *, eos_token_ids: int | Iterable[int], steps_per_generation: int = 1):
        self._client, self._window = client, steps_per_generation
        self._eos = frozenset([eos_token_ids] if isinstance(eos_token_ids, int) else eos_token_ids)

    def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        trainer_state: Any = None,
        log_metric: Callable[[str, float], None] | None = None,
        principles: Sequence[Any] | None = None,
        category: Sequence[str] | None = None,
        **_: Any,
    ) -> list[float]:
        """One reward per completion.

        Raises:
            RewardServerError: the server refused, or could not be reached; a reward is never left out.
        """
        index = trainer_state.global_step // self._window if trainer_state is not None else 0
        rollouts = []
        for i, (prompt, completion, ids) in enumerate(zip(prompts, completions, completion_ids, strict=True)):
            stopped = bool(ids) and ids[-1] in self._eos
            rollout: dict[str, Any] = {
                "completion": completion if isinstance(completion, str) else completion[-1]["content"],
                "completion_ids": list(ids),
                "n_tokens": len(ids) - stopped,
                "stopped": stopped,
                "rollout_index": index,
            }
            rollout["prompt" if isinstance(prompt, str) else "messages"] = prompt
            if principles is not None:
                rollout["principles"] = principles[i]
            if category is not None:
                rollout["category"] = category[i]
            rollouts.append(rollout)
        rewards = self._client.score(rollouts)
        if rewards and log_metric is not None:
            for name in rewards[0]["components"]:
                log_metric(f"reward/{name}/mean", fmean(reward["components"][name] for reward in rewards))
            for reward in rewards:
                for name, value in reward.get("by_principle", {}).items():
                    log_metric(f"reward/principle/{name}", value)
        return [reward["total"] for reward in rewards]
