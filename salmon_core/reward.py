"""The one reward: used unchanged by `salmon score`, inside a trainer, and behind the reward server.

Reward = rm_weight * RM(prompt, completion, principles) + the weighted bonuses. Bradley-Terry scores compare only under
the same prompt and principles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from salmon_core.components import build, require
from salmon_core.draws import with_interventions
from salmon_core.errors import PluginError, SalmonError, boundary
from salmon_core.interfaces import Engine, ModelSpec
from salmon_core.plugins import Registry
from salmon_core.records import RewardBreakdown, Rollout, ShownPrinciple
from salmon_core.rendering import Limits, Renderer
from salmon_core.resolve import InForce, Resolved

#: columns of `rl_prompts.parquet`, one row per prompt and visit: `row` int, `prompt_id` str, `prompt` str (the policy's
#: prompt text, final), `messages` list<struct<role, content>>, `category` str,
#: `principles` list<struct<name: str, text: str, negated: bool>> (drawn ones; interventions are added by rollout index)
RL_COLUMNS = ("row", "prompt_id", "prompt", "messages", "category", "principles")
RM = "rm"


@dataclass(frozen=True, slots=True)
class LoadedBonus:
    """A bonus ready to be called."""

    label: str
    weight: float
    owner: str
    score: Callable[[Sequence[Rollout]], Sequence[float]]


def reward_spec(resolved: Resolved, model: ModelSpec | None) -> dict[str, Any]:
    """All that `Reward.from_spec` needs, JSON-ready: what a job carries to the trainer's process.

    Args:
        model: the trained reward model; None where its weight is 0.
    """
    config = resolved.config.reward
    return {
        "file_plugins": [str((resolved.base / name).resolve()) for name in resolved.config.plugins],
        "template": resolved.config.policy.template,
        "limits": asdict(resolved.limits),
        "engine": {"name": resolved.engines["reward"].name, "options": resolved.engines["reward"].options},
        "model": None if model is None or config.rm_weight == 0 else asdict(model),
        "policy": asdict(resolved.models["policy"]),
        "rm_weight": config.rm_weight,
        "combine": config.combine,
        "weights": {p.name: p.weight for p in resolved.reward_principles},
        "interventions": [asdict(item) for item in resolved.interventions],
        "bonuses": [
            {
                "label": bonus.label,
                "weight": bonus.weight,
                "name": bonus.selected.name,
                "owner": bonus.selected.owned.owner.distribution,
                "options": bonus.selected.options,
            }
            for bonus in resolved.bonuses
        ],
        "on_failure": config.on_failure,
    }  # fmt: skip


class Reward:
    """Scores rollouts.

    Attributes:
        names: `rm` (unless its weight is 0), then the bonuses in configured order.
        fallbacks: how often each component failed and was replaced.
        truncated: rollouts of which the reward model saw less than was written.
    """

    def __init__(
        self,
        *,
        engine: Engine | None,
        renderer: Renderer | None,
        bonuses: Sequence[LoadedBonus] = (),
        interventions: Sequence[InForce] = (),
        rm_weight: float = 1.0,
        combine: str = "joint",
        weights: Mapping[str, float] | None = None,
        on_failure: float | str = "stop",
        rm_owner: str = "reward engine",
    ):
        self._engine, self._renderer, self._bonuses = engine, renderer, tuple(bonuses)
        self._interventions, self._rm_weight, self._combine = tuple(interventions), rm_weight, combine
        self._weights, self._on_failure, self._rm_owner = dict(weights or {}), on_failure, rm_owner
        self.names = ((RM,) if engine is not None else ()) + tuple(bonus.label for bonus in self._bonuses)
        self.fallbacks: dict[str, int] = {}
        self.truncated = 0

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], *, engine: Engine | None = None) -> Reward:
        """From a job's `reward`: loads plugins, bonuses and the reward model (unless its weight is 0).

        Args:
            engine: an engine that already holds the reward model, instead of loading it.
        """
        registry = Registry.discover([Path(path) for path in spec["file_plugins"]])
        bonuses = []
        for item in spec["bonuses"]:
            owned = registry.find("bonuses", f"{item['owner']}/{item['name']}")
            bonus = require(owned, build(owned, item["options"]), "score", "score_one")
            bonuses.append(LoadedBonus(item["label"], item["weight"], str(owned.owner), _batched(bonus)))
        renderer, owner = None, ""
        if spec["model"] is not None or engine is not None:
            owner = str(registry.find("engines", spec["engine"]["name"]).owner)
            if engine is None:
                engine = reward_engine(spec, registry)
                engine.load(ModelSpec(**spec["model"]), "reward")
            template = registry.find("templates", spec["template"]).load()
            policy = engine.open_codec(ModelSpec(**spec["policy"]))
            renderer = Renderer(template, engine.codec, others=[policy], limits=Limits(**spec["limits"]))
        interventions = [InForce(ShownPrinciple(**i["shown"]), i["start"], i["end"]) for i in spec["interventions"]]
        return cls(
            engine=engine,
            renderer=renderer,
            bonuses=bonuses,
            interventions=interventions,
            rm_weight=spec["rm_weight"],
            combine=spec["combine"],
            weights=spec["weights"],
            on_failure=spec["on_failure"],
            rm_owner=owner,
        )

    def shown(self, drawn: Sequence[ShownPrinciple], rollout_index: int) -> tuple[ShownPrinciple, ...]:
        """The principles to show: interventions in force first, then the drawn ones."""
        force = [
            i.shown
            for i in self._interventions
            if i.start <= rollout_index and (i.end is None or rollout_index < i.end)
        ]
        return with_interventions(tuple(drawn), force)

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
        drawn = [ShownPrinciple(p["name"], p["text"], bool(p["negated"])) for p in row["principles"]]
        return Rollout(
            prompt_id=row["prompt_id"],
            messages=tuple({"role": m["role"], "content": m["content"]} for m in row["messages"]),
            completion=completion,
            completion_ids=tuple(completion_ids),
            n_tokens=n_tokens,
            stopped=stopped,
            category=row["category"],
            principles=self.shown(drawn, rollout_index),
            rollout_index=rollout_index,
            extra={key: value for key, value in row.items() if key not in RL_COLUMNS},
        )

    def check(self, principles: Sequence[ShownPrinciple]) -> None:
        """Whether the reward model can be shown these principles at all.

        Raises:
            SalmonError: they leave no room for prompt and completion.
        """
        if self._renderer is not None:
            self._renderer.reward(({"role": "user", "content": ""},), "", self._sets(principles))

    def __call__(self, rollouts: Sequence[Rollout]) -> list[RewardBreakdown]:
        """One breakdown per rollout; every total is finite.

        Raises:
            PluginError: a component failed and `on_failure` is `stop`; names its owner.
        """
        if not rollouts:
            return []
        raw: dict[str, list[float]] = {}
        failed: list[str] = []
        truncated = [0] * len(rollouts)
        if self._engine is not None:
            raw[RM] = self._guard(RM, self._rm_owner, lambda: self._score(rollouts, truncated), len(rollouts), failed)
        for bonus in self._bonuses:
            score = partial(bonus.score, rollouts)
            raw[bonus.label] = self._guard(bonus.label, bonus.owner, score, len(rollouts), failed)
        self.truncated += sum(map(bool, truncated))
        factors = {RM: self._rm_weight} | {bonus.label: bonus.weight for bonus in self._bonuses}
        breakdowns = []
        for index, rollout in enumerate(rollouts):
            own = {name: values[index] for name, values in raw.items()}
            components = {name: factors[name] * value for name, value in own.items()}
            names = tuple(f"not {p.name}" if p.negated else p.name for p in rollout.principles)
            breakdowns.append(
                RewardBreakdown(sum(components.values()), components, own, names, truncated[index], tuple(failed))
            )
        return breakdowns

    def _score(self, rollouts: Sequence[Rollout], truncated: list[int]) -> list[float]:
        assert self._engine is not None
        assert self._renderer is not None
        requests = []
        for index, rollout in enumerate(rollouts):
            request = self._renderer.reward(rollout.messages, rollout.completion, self._sets(rollout.principles))
            truncated[index] = request.truncated
            requests.append(request)
        scores = []
        for rollout, values in zip(rollouts, self._engine.reward(requests), strict=True):
            if len(values) == 1:
                scores.append(values[0])
                continue
            weights = [self._weights.get(principle.name, 1.0) for principle in rollout.principles]
            scores.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
        return scores

    def _sets(self, principles: Sequence[ShownPrinciple]) -> list[Sequence[ShownPrinciple]]:
        """The sets of principles that make a text each."""
        return [principles] if self._combine == "joint" or not principles else [(each,) for each in principles]

    def _guard(
        self, name: str, owner: str, score: Callable[[], Sequence[float]], count: int, failed: list[str]
    ) -> list[float]:
        """Runs one component; anything but `count` finite numbers is a failure."""
        try:
            with boundary(owner, f"reward component {name!r}"):
                values = [float(value) for value in score()]
                if len(values) != count:
                    raise ValueError(f"gave {len(values)} scores for {count} rollouts")
                for index, value in enumerate(values):
                    if not math.isfinite(value):
                        raise ValueError(f"gave {value} for rollout {index} of {count}")
                return values
        except SalmonError as error:
            if self._on_failure == "stop":
                if isinstance(error, PluginError):
                    raise
                raise PluginError(owner, str(error), what=f"reward component {name!r}") from error
            self.fallbacks[name] = self.fallbacks.get(name, 0) + count
            failed.append(name)
            return [float(self._on_failure)] * count


def reward_engine(spec: Mapping[str, Any], registry: Registry | None = None) -> Engine:
    """The configured engine of a job's `reward`, not loaded: for its tokenizers, or to load a model into."""
    registry = registry or Registry.discover([Path(path) for path in spec["file_plugins"]])
    engine: Engine = build(registry.find("engines", spec["engine"]["name"]), spec["engine"]["options"])
    return engine


def _batched(bonus: Any) -> Callable[[Sequence[Rollout]], Sequence[float]]:
    """`score`, or `score_one` for each; also for classes that inherit `score` from `Bonus`."""
    score = getattr(bonus, "score", None)
    if callable(score):
        return score  # type: ignore[no-any-return]
    one = bonus.score_one
    return lambda rollouts: [one(rollout) for rollout in rollouts]
