"""A run whose answers are written down, for evaluators that need to see something change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from salmon_core.api import ComponentSpec, Limits, ModelSpec, PrincipleSet, RewardSpec, Role
from salmon_core.records import Completion, Prompt, RewardBreakdown, Rollout, ShownPrinciple


def reward_spec(**values: Any) -> RewardSpec:
    """A reward of nothing but what is given."""
    own = {"policy": ModelSpec("policy"), "model": None, "rm_weight": 0.0, **values}
    return RewardSpec(ComponentSpec("templates", "t", "o"), Limits(), ComponentSpec("engines", "e", "o"), **own)


@dataclass
class StandIn:
    """An `EvaluatedRun` of a few prompts.

    Attributes:
        said: prompts, with the answers before and after.
        value: the reward's one component, of a rollout.
        asked: what the evaluator asked for, in order.
    """

    said: Sequence[tuple[Prompt, Sequence[str], Sequence[str]]]
    value: Callable[[Rollout], float] = lambda rollout: float(rollout.n_tokens)
    reward: RewardSpec = field(default_factory=reward_spec)
    rewarded: tuple[ShownPrinciple, ...] = ()
    seed: int = 3
    judge_principles: PrincipleSet = PrincipleSet("none", ())  # noqa: RUF009
    reward_principles: PrincipleSet = PrincipleSet("none", ())  # noqa: RUF009
    asked: list[Any] = field(default_factory=list)

    def prompts(self, split: str | None = "test") -> list[Prompt]:
        return [prompt for prompt, _, _ in self.said]

    def samples(self, role: Role, samples: int = 4) -> list[Completion]:
        self.asked.append(("samples", role, samples))
        return [
            Completion(prompt.id, index, text, tuple(range(len(text.split()) + 1)), len(text.split()), True)
            for prompt, before, after in self.said
            for index, text in enumerate({"initial": before, "policy": after}[role])
        ]

    def shown(self, prompt: Prompt, *names: str | int) -> tuple[ShownPrinciple, ...]:
        self.asked.append(("shown", *names))
        return (ShownPrinciple(f"for {prompt.id}", "text"),)

    def score(self, rollouts: Sequence[Rollout], *, explain: bool = False) -> list[RewardBreakdown]:
        self.asked.append(("score", len(rollouts)))
        values = [self.value(rollout) for rollout in rollouts]
        return [RewardBreakdown(value, {"words": value}, {"words": value}) for value in values]

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the evaluator was not to use run.{name}")
