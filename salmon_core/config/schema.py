"""The shape of a whole configuration. Names and options are looked up in `resolve`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from salmon_core.api.component import paper
from salmon_core.config.choices import (
    DefaultChoice,
    DefaultSelection,
    EvaluatorChoice,
    PromptChoice,
    Section,
    listed,
    named,
)
from salmon_core.config.demonstrations import SelfAlignSection, SftSection
from salmon_core.config.monitoring import MonitorsSection
from salmon_core.config.preferring import JudgeSection, Preferences, RewardModelSection, SampleSection
from salmon_core.config.reinforcing import RewardSection, TrainSection

RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class RunSection(Section):
    name: str = Field(pattern=RUN_NAME, max_length=120, description="the run's folder under `folder`")
    seed: int = Field(0, ge=0, lt=2**63)
    folder: str = Field("runs", description="relative to the working directory")
    call_timeout: float | None = Field(
        3600.0,
        gt=0,
        description="seconds after which a plugin's code that gives no sign of life is ended; null: never",
    )


class PolicySection(Section):
    model: str = Field(min_length=1, description="hub id, folder, or plugin:NAME")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="`auto`: as stored")
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`")
    adapter: str | None = Field(None, description="a PEFT adapter on top of the model")
    trust_remote_code: bool = Field(False, description="run code that the model's folder brings along")
    template: str | None = Field(None, description="how judge and reward model are asked; null: the installed default")


class LimitsSection(Section):
    """In tokens (arXiv 2310.05910, appendix)."""

    prompt: int = Field(
        128,
        ge=1,
        description="of the instruction, as judge and reward model see it",
        json_schema_extra=paper(128, "prompt tokens the reward model sees"),
    )
    completion: int = Field(
        768,
        ge=1,
        description="of each completion, likewise",
        json_schema_extra=paper(768, "completion tokens the reward model sees"),
    )
    total: int = Field(
        1280,
        ge=8,
        description="of the whole text; principles are never cut",
        json_schema_extra=paper(1280, "tokens the reward model sees"),
    )


class Expectation(Section):
    """A number of the report that has to be reached, else the run ends with exit code 1."""

    metric: str = Field(min_length=1, description="dotted path in report.json")
    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_fail_and_hold(self) -> Expectation:
        if self.min is None and self.max is None:
            raise ValueError("needs `min`, `max` or both, else it always holds")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}, so it never holds")
        return self


class Config(Section):
    """Everything about a run."""

    run: RunSection
    plugins: list[str] = Field([], description="single-file plugins, in the configuration's folder")
    policy: PolicySection
    limits: LimitsSection = LimitsSection()
    prompts: Annotated[PromptChoice, BeforeValidator(named)] = Field(
        description="a prompt source, plugin:NAME, or a JSONL, CSV or Parquet file"
    )
    held_out: float = Field(
        0.1, ge=0, lt=1, description="share of prompts kept for evaluation if the source says nothing"
    )
    self_align: SelfAlignSection | None = None
    sft: SftSection | None = None
    sample: SampleSection = SampleSection()
    judge: JudgeSection = JudgeSection()
    label: DefaultChoice = Field(
        DefaultSelection(), description="a labeller, with its options; null: the installed default"
    )
    preferences: Preferences | None = Field(
        None, description="preference rows of your own: sampling and judging are skipped"
    )
    reward_model: RewardModelSection = RewardModelSection()
    reward: RewardSection = RewardSection()
    train: TrainSection = TrainSection()
    monitors: MonitorsSection | None = Field(None, description="what watches the rollouts; null: nothing")
    evaluate: Annotated[list[Annotated[EvaluatorChoice, BeforeValidator(named)]], BeforeValidator(listed)] = []
    expect: list[Expectation] = []

    @model_validator(mode="after")
    def _own_demonstrations_are_trained_on(self) -> Config:
        if self.self_align is not None and self.sft is None:
            self.sft = SftSection()
        return self
