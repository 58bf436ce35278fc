"""Sections about RL: the reward, and the training of the policy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from salmon_core.api.component import paper
from salmon_core.config.choices import (
    Backend,
    BonusChoice,
    DefaultChoice,
    Engine,
    RewardPrincipleChoice,
    Section,
    named,
)


class Intervention(Section):
    """A principle always shown before the drawn ones, from one rollout on (arXiv 2310.05910, 3.3)."""

    principle: str = Field(min_length=1, description="of the reward's set, or of `from_set`")
    from_set: str = Field("interventions", description="a principle set to look in as well")
    text: str | None = Field(None, min_length=1, description="its wording, instead of a set's")
    negate: bool = Field(False, description="show its negated text")
    from_rollout: int = Field(0, ge=0, description="first generated batch for which it is shown")
    until_rollout: int | None = Field(
        None, ge=1, description="first generated batch for which it is not; null: to the end"
    )


class VetoSection(Section):
    """What becomes of an answer that breaks a hard rule, which is a principle with `veto: true`."""

    below: float = Field(
        allow_inf_nan=False, description="the reward model's score under the rule alone, below which it is broken"
    )
    floor: float = Field(allow_inf_nan=False, description="the reward then, whatever else there is")


class RewardSection(Section):
    principles: Annotated[RewardPrincipleChoice, BeforeValidator(named)] = Field(
        default_factory=lambda: RewardPrincipleChoice(name="salmon-rl"),
        json_schema_extra=paper("salmon-rl", "reward principles"),
    )
    show: int = Field(
        3,
        ge=0,
        le=32,
        description="principles drawn for each prompt",
        json_schema_extra=paper(3, "principles shown per rollout"),
    )
    combine: Literal["joint", "mean"] = Field(
        "joint",
        description="`joint`: all principles in one text (the paper's way); `mean`: one text each, weighted mean",
        json_schema_extra=paper("joint", "how several principles are scored"),
    )
    veto: VetoSection | None = Field(None, description="for principles that are hard rules")
    explain_every: int = Field(
        0,
        ge=0,
        description="every so many-th rollout that is written down tells what each principle of its joint text gave,"
        " by leaving each out; 0: none does",
    )
    rm_weight: float = Field(
        1.0,
        allow_inf_nan=False,
        description="0: the reward model is not even loaded",
        json_schema_extra=paper(1.0, "weight of the reward model"),
    )
    engine: DefaultChoice = Engine
    template: str | None = Field(None, description="how the reward model is asked; null: as `policy.template`")
    interventions: list[Intervention] = []
    bonuses: list[Annotated[BonusChoice, BeforeValidator(named)]] = []
    on_failure: Literal["stop"] | Annotated[float, Field(allow_inf_nan=False)] = Field(
        "stop", description="`stop`, or the score a failed component gets"
    )


class LaunchSection(Section):
    processes: int = Field(1, ge=1, description="on this machine")
    accelerate_config: str | None = Field(None, description="a file of `accelerate config`, for FSDP or DeepSpeed")


class RowsSection(Section):
    """Which of the preference rows an algorithm such as DPO trains on, and what it is asked. See docs/data.md."""

    principles: Literal["none", "prompt"] = Field(
        "none",
        description="`none`: the prompt alone, and no row that a negated principle decided; `prompt`: a row's "
        "principles at the end of its prompt",
    )
    only: list[str] | None = Field(None, description="rows that one of these principles decided; null: by whatever")


class TrainSection(Section):
    backend: str | None = Backend
    algorithm: str = Field(
        "ppo",
        description="of the backend; `none`: no RL, only what comes before is evaluated",
        json_schema_extra=paper("ppo", "RL algorithm"),
    )
    epochs: int = Field(
        1,
        ge=1,
        description="visits of each prompt, each with principles drawn anew; where `options` fix the number of steps, "
        "as many as those need",
        json_schema_extra=paper(2, "visits of each prompt"),
    )
    rows: RowsSection = Field(
        RowsSection(), description="of algorithms that train on preference rows instead of rollouts, such as dpo"
    )
    options: dict[str, Any] = {}
    python: str | None = Field(None, description="interpreter of the trainer, relative to this file; null: this one")
    launch: LaunchSection = LaunchSection()
