"""The one reward: used unchanged by `salmon score`, inside a trainer, and behind the reward server.

Reward = rm_weight * RM(prompt, completion, principles) + the weighted bonuses. Bradley-Terry scores compare only under
the same prompt and principles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from salmon_core.api.models import Scorer, TokenCodec
from salmon_core.api.reward import RewardSpec, ScheduledPrinciple, ScheduledWeight, Veto
from salmon_core.api.templates import Template
from salmon_core.closing import Closing
from salmon_core.errors import PluginError, SalmonError, boundary
from salmon_core.plugins.engines import open_codec, open_model
from salmon_core.plugins.options import require
from salmon_core.plugins.registry import Registry
from salmon_core.records import Message, RewardBreakdown, Rollout, ShownPrinciple
from salmon_core.reward.reading import Asked, Combine, Read, label
from salmon_core.reward.rendering import Renderer
from salmon_core.reward.scorers import ability_of, scorer_of
from salmon_core.reward.steering import InForce, Steering

RM = "rm"
VETO = "veto"


@dataclass(frozen=True, slots=True)
class LoadedBonus:
    """A bonus ready to be called."""

    label: str
    weight: float
    owner: str
    score: Callable[[Sequence[Rollout]], Sequence[float]]


class Reward(Closing):
    """Scores rollouts. A context manager: leaving it closes the reward model that it opened.

    Attributes:
        names: `rm` (unless its weight is 0), then the bonuses in configured order, then `veto` where it is configured.
        fallbacks: how often each component failed and was replaced.
        truncated: rollouts of which the reward model saw less than was written.
        explain_every: of the rollouts that are written down; see `RewardSpec`.
    """

    def __init__(
        self,
        *,
        scorer: Scorer | None,
        renderer: Renderer | None,
        bonuses: Sequence[LoadedBonus] = (),
        interventions: Sequence[ScheduledPrinciple] = (),
        rm_weight: float = 1.0,
        combine: Combine = "joint",
        weights: Mapping[str, float] | None = None,
        on_failure: float | str = "stop",
        rm_owner: str = "reward engine",
        veto: Veto | None = None,
        explain_every: int = 0,
        owns_scorer: bool = False,
        reweighted: Sequence[ScheduledWeight] = (),
        record: str | None = None,
    ):
        self._scorer, self._renderer, self._bonuses = scorer, renderer, tuple(bonuses)
        self._steering = Steering(interventions, reweighted, record)
        self._rm_weight, self._combine = rm_weight, combine
        self._weights, self._on_failure, self._rm_owner = dict(weights or {}), on_failure, rm_owner
        self._opened = scorer if owns_scorer else None
        self._veto = veto if scorer is not None else None
        self.names = ((RM,) if scorer is not None else ()) + tuple(bonus.label for bonus in self._bonuses)
        self.names += (VETO,) if self._veto is not None else ()
        self.explain_every = explain_every
        self.fallbacks: dict[str, int] = {}
        self.truncated = 0

    @classmethod
    def from_spec(cls, spec: RewardSpec, *, scorer: Scorer | None = None) -> Reward:
        """Loads plugins, bonuses and the reward model (unless its weight is 0).

        Args:
            scorer: the open reward model, instead of opening it; stays its owner's to close.
        """
        registry = registry_of(spec)
        bonuses = []
        for item in spec.bonuses:
            owned = registry.owned(item.component)
            bonus = require(owned, registry.build(item.component), "score", "score_one")
            bonuses.append(LoadedBonus(item.label, item.weight, str(owned.owner), _batched(bonus)))
        template: Template = registry.owned(spec.template).load()
        opened = None
        if scorer is None and spec.model is not None and spec.rm_weight != 0:
            scorer = opened = scorer_of(open_model(registry, spec.engine, spec.model, ability_of(template)), template)
        renderer = None
        if scorer is not None:
            renderer = Renderer(template, scorer.codec, others=[policy_codec(spec)], limits=spec.limits)
        return cls(
            scorer=scorer,
            renderer=renderer,
            bonuses=bonuses,
            interventions=spec.interventions,
            rm_weight=spec.rm_weight,
            combine=spec.combine,
            weights=spec.weights,
            on_failure=spec.on_failure,
            rm_owner=spec.engine.owner,
            veto=spec.veto,
            explain_every=spec.explain_every,
            owns_scorer=opened is not None,
            reweighted=spec.reweighted,
            record=spec.record,
        )

    def close(self) -> None:
        """Closes the reward model, if this opened it."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def shown(self, rollout: Rollout, *, foreign: bool = False) -> Rollout:
        """The rollout as it is scored: interventions in force first, then its own principles.

        Args:
            foreign: see `__call__`.
        """
        return self._shown(rollout, self._steering.at(rollout.rollout_index, foreign=foreign))

    def principles_at(self, rollout_index: int, drawn: Sequence[ShownPrinciple]) -> tuple[ShownPrinciple, ...]:
        """What is shown for a rollout of this index for which these were drawn."""
        return self._steering.at(rollout_index).shown(drawn)

    def _shown(self, rollout: Rollout, force: InForce) -> Rollout:
        principles = force.shown(rollout.principles)
        return rollout if principles == rollout.principles else replace(rollout, principles=principles)

    def check(self, principles: Sequence[ShownPrinciple]) -> None:
        """Whether the reward model can be shown these principles at all.

        Raises:
            SalmonError: they leave no room for prompt and completion.
        """
        if self._renderer is not None:
            self._renderer.reward(({"role": "user", "content": ""},), "", self._asked(principles).sets)

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        """The reward model's own scores of (conversation, completion, sets of principles): one per set, each a text.

        Raises:
            SalmonError: there is no reward model, or a set leaves no room for prompt and completion.
        """
        if self._scorer is None or self._renderer is None:
            raise SalmonError("there is no reward model to ask", hint="its weight is 0")
        with boundary(self._rm_owner, "reward model"):
            return self._scorer.score([self._renderer.reward(*text) for text in texts])

    def __call__(
        self, rollouts: Sequence[Rollout], explain: Container[int] = (), *, foreign: Container[int] = ()
    ) -> list[RewardBreakdown]:
        """One breakdown per rollout, interventions in force among its principles.

        Args:
            explain: the rollouts, by their place, of which a joint text is explained principle by principle: a further
                text for each, without it. Nothing else changes, and the others cost what they cost.
            foreign: the rollouts, by their place, that are none of the training which this reward belongs to, such as
                those that somebody else asks a training's server about: they begin no batch.

        Raises:
            PluginError: a component failed and `on_failure` is `stop`; names its owner.
        """
        if not rollouts:
            return []
        force = [
            self._steering.at(rollout.rollout_index, foreign=place in foreign) for place, rollout in enumerate(rollouts)
        ]
        rollouts = tuple(map(self._shown, rollouts, force))
        raw: dict[str, list[float]] = {}
        failed: list[str] = []
        reads: list[Read] = [Read(0.0)] * len(rollouts)
        truncated = [0] * len(rollouts)
        if self._scorer is not None:
            asked = [self._asked(each.principles, explain=place in explain) for place, each in enumerate(rollouts)]
            ask = partial(self._score, rollouts, asked, reads, truncated)
            raw[RM] = self._guard(RM, self._rm_owner, ask, len(rollouts), failed)
        for bonus in self._bonuses:
            score = partial(bonus.score, rollouts)
            raw[bonus.label] = self._guard(bonus.label, bonus.owner, score, len(rollouts), failed)
        self.truncated += sum(map(bool, truncated))
        factors = {RM: self._rm_weight} | {bonus.label: bonus.weight for bonus in self._bonuses}
        breakdowns = []
        for index, (rollout, read) in enumerate(zip(rollouts, reads, strict=True)):
            own = {name: values[index] for name, values in raw.items()}
            now = force[index].bonuses
            components = {name: now.get(name, factors[name]) * value for name, value in own.items()}
            if self._veto is not None:
                broken = bool(read.vetoed)
                own[VETO] = float(broken)
                components[VETO] = self._veto.floor - sum(components.values()) if broken else 0.0
            breakdown = RewardBreakdown(
                total=sum(components.values()),
                components=components,
                raw=own,
                principles=tuple(map(label, rollout.principles)),
                truncated=truncated[index],
                fallbacks=tuple(failed),
                by_principle=read.by_principle,
                shares=read.shares,
                left_out=read.left_out,
                vetoed=read.vetoed,
                interventions=force[index].ids,
            )
            breakdowns.append(breakdown)
        return breakdowns

    def _score(
        self, rollouts: Sequence[Rollout], asked: Sequence[Asked], reads: list[Read], truncated: list[int]
    ) -> list[float]:
        """The reward model's scores; what else its answers say goes into `reads`."""
        assert self._scorer is not None
        assert self._renderer is not None
        requests = []
        for index, (rollout, own) in enumerate(zip(rollouts, asked, strict=True)):
            request = self._renderer.reward(rollout.messages, rollout.completion, own.sets)
            truncated[index] = request.truncated
            requests.append(request)
        found = [own.read(values) for own, values in zip(asked, self._scorer.score(requests), strict=True)]
        if all(math.isfinite(each.score) for each in found):
            reads[:] = found
        return [each.score for each in found]

    def _asked(self, principles: Sequence[ShownPrinciple], *, explain: bool = False) -> Asked:
        return Asked(tuple(principles), self._combine, self._weights, self._veto, explain)

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


def registry_of(spec: RewardSpec) -> Registry:
    """The plugins that a reward is made of."""
    return Registry.discover([Path(path) for path in spec.file_plugins])


def policy_codec(spec: RewardSpec) -> TokenCodec:
    """The policy's tokenizer."""
    return open_codec(registry_of(spec), spec.engine, spec.policy)


def _batched(bonus: Any) -> Callable[[Sequence[Rollout]], Sequence[float]]:
    """`score`, or `score_one` for each; also for classes that inherit `score` from `Bonus`."""
    score = getattr(bonus, "score", None)
    if callable(score):
        return score  # type: ignore[no-any-return]
    one = bonus.score_one
    return lambda rollouts: [one(rollout) for rollout in rollouts]
