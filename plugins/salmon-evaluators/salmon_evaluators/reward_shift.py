"""What RL did to each component of the reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.draws import draw_for_policy, named_rng
from salmon_core.estimates import clustered_difference, clustered_mean
from salmon_core.interfaces import Engine, Evaluator
from salmon_core.records import Metrics, RewardBreakdown, Rollout
from salmon_core.view import RunView

_LAST = 2**62


class RewardShift(Evaluator):
    """Components on held-out prompts before and after, with the same principles shown for the same prompt.

    Bradley-Terry scores compare only under the same prompt and principles; so they do here.
    """

    needs = frozenset({"initial", "policy"})

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        samples: int = Field(4, ge=1, description="completions per held-out prompt")
        rollout_index: int = Field(_LAST, ge=0, description="which interventions are in force; by default the last")

    def __init__(self, options: Options):
        self.options = options

    def evaluate(self, run: RunView, engines: Mapping[str, Engine]) -> Metrics:
        """Values: `components` (with `total`), `tokens`, `stopped`; each before, after and change, with intervals."""
        seed = run.config.run.seed
        series: dict[str, dict[str, dict[str, list[float]]]] = {}
        for role in ("initial", "policy"):
            for rollout, breakdown in self._scored(run, role):
                numbers = {**breakdown.components, "total": breakdown.total}
                numbers |= {"tokens": float(rollout.n_tokens), "stopped": float(rollout.stopped)}
                for name, value in numbers.items():
                    series.setdefault(name, {}).setdefault(role, {}).setdefault(rollout.prompt_id, []).append(value)
        values: dict[str, Any] = {}
        for name, by_role in series.items():
            rng = named_rng(seed, "reward-shift", name)
            before, after = by_role["initial"], by_role["policy"]
            values[name] = {
                "before": asdict(clustered_mean(before, rng)),
                "after": asdict(clustered_mean(after, rng)),
                "change": asdict(clustered_difference(before, after, rng)),
            }
        shape = {name: values.pop(name) for name in ("tokens", "stopped")}
        return Metrics("reward-shift", {"components": values, **shape})

    def _scored(self, run: RunView, role: str) -> list[tuple[Rollout, RewardBreakdown]]:
        config, resolved = run.config, run.resolved
        prompts = {prompt.id: prompt for prompt in run.prompts("test")}
        shown = {}
        for prompt in prompts.values():
            rng = named_rng(config.run.seed, "reward-shift", prompt.id)
            drawn = draw_for_policy(
                list(resolved.reward_principles), rng, show=config.reward.show, category=prompt.category
            )
            own = [resolved.shown(resolved.reward_principles[principle.name]) for principle in drawn]
            shown[prompt.id] = run.reward.shown(own, self.options.rollout_index)
        rollouts = [
            Rollout(
                prompt_id=sample.prompt_id,
                messages=prompts[sample.prompt_id].messages,
                completion=sample.text,
                completion_ids=sample.token_ids,
                n_tokens=sample.n_tokens,
                stopped=sample.stopped,
                category=prompts[sample.prompt_id].category,
                principles=shown[sample.prompt_id],
                rollout_index=self.options.rollout_index,
            )
            for sample in run.samples(role, self.options.samples)
        ]
        return list(zip(rollouts, run.reward(rollouts), strict=True))
