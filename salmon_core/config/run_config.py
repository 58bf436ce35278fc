"""What a run is made from: a configuration with everything looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import ModelSpec
from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.api.reward import BonusSpec, ScheduledPrinciple
from salmon_core.api.templates import Limits, Template
from salmon_core.api.training import Launch
from salmon_core.config.aligning import SelfAlign
from salmon_core.config.schema import Config
from salmon_core.data.preferences import PreferenceSource, Pretraining
from salmon_core.plugins.registry import Registry
from salmon_core.principles.per_prompt import PerPrompt, Pools
from salmon_core.records import ShownPrinciple


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The backend of a training stage, and the options of that stage, validated by it.

    Attributes:
        on_preferences: whether it trains on rows of preferences there, with no rollout and no reward.
    """

    component: ComponentSpec
    options: Mapping[str, Any]
    paths: tuple[str, ...] = ()
    on_preferences: bool = False


@dataclass(frozen=True, slots=True)
class JudgeChoice:
    """Another judge than the run's; None: as the run's.

    Attributes:
        model: whose path is resolved.
        initial: the initial policy judges, whatever `model` of the run does.
    """

    judge: ComponentSpec | None = None
    engine: ComponentSpec | None = None
    model: ModelSpec | None = None
    initial: bool = False
    form: Literal["auto", "chat", "text"] | None = None


@dataclass(frozen=True)
class RunConfig:
    """A configuration with everything looked up.

    Attributes:
        base: the configuration's folder, which its paths are relative to.
        source: the file's name, for messages.
        template: by which the judge is asked.
        reward_template: by which the reward model is asked; `reward_template_spec` is where it comes from.
        engines: by the stage that uses them: `sample`, `judge`, `reward`, and `self_align` where there is one.
        backends: by training stage.
        models: `policy`, and where the configuration names others: `judge`, `reward`, `reward-init`, `self-align`.
        files: `sft`, `gold`: data files of the configuration's own, absolute.
        preferences: rows of the user's own, where there are any.
        pretraining: what the reward model is trained on first, where that is anything.
        evaluation_judges: for evaluators that do not ask the run's judge, by their place among `evaluators`.
        reward_asked: whether an evaluator asks the reward model.
        monitors: of the rollouts of RL.
        self_align: how the model makes demonstrations of its own; None: it makes none.
        python: interpreter of the RL trainer, or None for the running one.
    """

    config: Config
    base: Path
    source: str
    registry: Registry = field(repr=False, compare=False)
    template: Template
    reward_template: Template
    reward_template_spec: ComponentSpec
    prompts: ComponentSpec
    judge: ComponentSpec
    labeller: ComponentSpec
    engines: Mapping[str, ComponentSpec]
    backends: Mapping[str, BackendChoice]
    models: Mapping[str, ModelSpec]
    judge_principles: PrincipleSet
    reward_principles: PrincipleSet
    interventions: tuple[ScheduledPrinciple, ...]
    bonuses: tuple[BonusSpec, ...]
    evaluators: tuple[ComponentSpec, ...]
    files: Mapping[str, Path]
    preferences: PreferenceSource | None
    pretraining: Pretraining | None
    file_plugins: tuple[Path, ...]
    launch: Launch
    python: str | None
    evaluation_judges: Mapping[int, JudgeChoice] = field(default_factory=dict)
    reward_asked: bool = True
    self_align: SelfAlign | None = None
    monitors: tuple[ComponentSpec, ...] = ()

    @property
    def limits(self) -> Limits:
        """Of the texts that judge and reward model read."""
        return Limits(**self.config.limits.model_dump())

    @property
    def trains_on_preferences(self) -> bool:
        """Whether the policy is trained on preference rows, with no rollout and no reward."""
        rl = self.backends.get("train-policy")
        return rl is not None and rl.on_preferences

    @property
    def trains_reward_model(self) -> bool:
        """Whether the run makes its own reward model; where the policy needs none, only for evaluators."""
        wanted = self.reward_asked or not self.trains_on_preferences
        return self.config.reward_model.path is None and self.config.reward.rm_weight != 0 and wanted

    @property
    def pretrains_reward_model(self) -> bool:
        """Whether that is done on other preferences first."""
        return self.pretraining is not None and self.trains_reward_model

    @property
    def makes_preferences(self) -> bool:
        """Whether the run makes the preference rows that it trains on, by sampling and judging."""
        return self.preferences is None and (self.trains_reward_model or self.trains_on_preferences)

    def shown(self, principle: Principle) -> ShownPrinciple:
        """A reward principle as the configuration wants it shown: its own text, or the negated one."""
        negate = self.config.reward.principles.negate
        return principle.shown(negated=negate if isinstance(negate, bool) else principle.name in negate)

    @property
    def per_prompt(self) -> PerPrompt | None:
        """What becomes of the principles that prompts bring along; None: nothing."""
        how = self.config.reward.principles.per_prompt
        return None if how is None else PerPrompt(how, (*self.judge_principles, *self.reward_principles))

    @property
    def pools(self) -> Pools:
        """What the principles of each rollout are drawn from."""
        principles = tuple(self.reward_principles)
        return Pools(principles, {each.name: self.shown(each) for each in principles}, self.per_prompt)

    def document(self) -> dict[str, Any]:
        """What `from_saved` in `salmon_core.config.resolve` reads, JSON-ready."""
        return {
            "document": self.config.model_dump(mode="json"),
            "base": str(self.base),
            "source": self.source,
        }
