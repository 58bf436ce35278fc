"""What RL did to each component of the reward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import EvaluatedRun, Evaluator, Metrics, Role, Section
from salmon_core.kit.statistics import clustered_difference, clustered_mean
from salmon_core.records import RewardBreakdown, Rollout
from salmon_core.rng import named_rng

#: by default every intervention that is still in force at the end counts
_LAST = 2**62
_TITLES = {
    "principles": "Reward model's score under each principle alone",
    "left_out": "What the reward model's score loses without each principle",
}
_ROLES: tuple[Role, ...] = ("initial", "policy")


class RewardShift(Evaluator):
    """Components on held-out prompts before and after, with the same principles shown for the same prompt.

    Bradley-Terry scores compare only under the same prompt and principles; so they do here.
    """

    needs = frozenset({"initial", "policy", "reward"})

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        samples: int = Field(4, ge=1, description="completions per held-out prompt")
        rollout_index: int = Field(_LAST, ge=0, description="which interventions are in force; by default the last")

    def __init__(self, options: Options):
        self.options = options

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Values: `components` (with `total`), `principles`, `tokens`, `stopped`; each before, after and change.

        All with intervals. `principles` are the reward model's scores under each principle alone; of a joint text, what
        is lost when it is left out (`left_out`). Each is over the prompts that it was shown for.
        """
        rollouts = {role: self._rollouts(run, role) for role in _ROLES}
        series: dict[tuple[str, str], dict[str, dict[str, list[float]]]] = {}
        for role in _ROLES:
            for rollout, breakdown in zip(rollouts[role], run.score(rollouts[role], explain=True), strict=True):
                for key, value in _numbers(rollout, breakdown).items():
                    series.setdefault(key, {}).setdefault(role, {}).setdefault(rollout.prompt_id, []).append(value)
        values: dict[str, dict[str, Any]] = {}
        for (part, name), by_role in series.items():
            rng = named_rng(run.seed, "reward-shift", name if part in ("components", "shape") else f"{part}/{name}")
            before, after = by_role["initial"], by_role["policy"]
            values.setdefault(part, {})[name] = {
                "before": asdict(clustered_mean(before, rng)),
                "after": asdict(clustered_mean(after, rng)),
                "change": asdict(clustered_difference(before, after, rng)),
            }
        sections = tuple(_section(part, values[part]) for part in _TITLES if part in values)
        return Metrics("reward-shift", values | values.pop("shape"), sections=sections)

    def _rollouts(self, run: EvaluatedRun, role: Role) -> list[Rollout]:
        prompts = {prompt.id: prompt for prompt in run.prompts("test")}
        shown = {prompt.id: run.shown(prompt, "reward-shift", prompt.id) for prompt in prompts.values()}
        return [
            Rollout.from_text(
                prompts[sample.prompt_id],
                sample.text,
                n_tokens=sample.n_tokens,
                principles=shown[sample.prompt_id],
                completion_ids=sample.token_ids,
                stopped=sample.stopped,
                rollout_index=self.options.rollout_index,
            )
            for sample in run.samples(role, self.options.samples)
        ]


def _section(part: str, values: Mapping[str, Any]) -> Section:
    """For the report: a row for each principle."""
    rows = []
    for name, own in values.items():
        change = own["change"]
        told = f"{change['value']:+.2f} [{change['low']:+.2f}, {change['high']:+.2f}]"
        n = own["before"]["n"]
        rows.append((name, f"{own['before']['value']:.2f}", f"{own['after']['value']:.2f}", told, str(n)))
    return Section(_TITLES[part], ("principle", "before", "after", "change", "n"), tuple(rows))


def _numbers(rollout: Rollout, breakdown: RewardBreakdown) -> dict[tuple[str, str], float]:
    """By part of the report, and name."""
    parts: dict[str, Mapping[str, float]] = {
        "components": {**breakdown.components, "total": breakdown.total},
        "shape": {"tokens": float(rollout.n_tokens), "stopped": float(rollout.stopped)},
        "principles": breakdown.by_principle,
        "left_out": breakdown.left_out,
    }
    return {(part, name): value for part, values in parts.items() for name, value in values.items()}
