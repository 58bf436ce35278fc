"""The shape of a configuration: phase one of its validation. Names and options are looked up in `resolve`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from salmon_core.components import problems_of
from salmon_core.errors import ConfigError, Problem
from salmon_core.yamls import parse_yaml, read_yaml


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Selection(BaseModel):
    """A component chosen by name: `NAME`, or `{name: NAME, ...its options}`."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1)

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) or value is None else [value]


Choice = Annotated[Selection, BeforeValidator(_named)]


class BonusChoice(Selection):
    """A bonus, its weight, and the label it is logged under (its name by default)."""

    weight: float = Field(1.0, allow_inf_nan=False)
    label: str | None = Field(None, min_length=1)


class PrincipleChoice(Section):
    """A principle set: `NAME`, a path to a YAML file, or a set with changes."""

    name: str = Field(min_length=1)
    only: list[str] | None = Field(None, description="these principles of the set, no others")
    without: list[str] = Field([], description="all but these")
    weights: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    negate: bool | list[str] = Field(False, description="show these principles (or all) by their negated text")


Principles = Annotated[PrincipleChoice, BeforeValidator(_named)]


RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class RunSection(Section):
    name: str = Field(pattern=RUN_NAME, max_length=120, description="the run's folder under `folder`")
    seed: int = Field(0, ge=0, lt=2**63)
    folder: str = Field("runs", description="relative to the working directory")


class PolicySection(Section):
    model: str = Field(min_length=1, description="hub id, folder, or plugin:NAME")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="`auto`: as stored")
    device: str = Field("auto", description="`auto`, `cpu`, `cuda`, `cuda:1`")
    adapter: str | None = Field(None, description="a PEFT adapter on top of the model")
    trust_remote_code: bool = Field(False, description="run code that the model's folder brings along")
    template: str = Field("standard", description="how judge and reward model are asked")


class LimitsSection(Section):
    """In tokens (arXiv 2310.05910, appendix)."""

    prompt: int = Field(128, ge=1, description="of the instruction, as judge and reward model see it")
    completion: int = Field(768, ge=1, description="of each completion, likewise")
    total: int = Field(1280, ge=8, description="of the whole text; principles are never cut")


class SftSection(Section):
    data: str = Field(description="JSONL, CSV or Parquet with `prompt` or `messages`, and `completion`")
    backend: str = "trl"
    options: dict[str, Any] = {}


class SampleSection(Section):
    engine: Choice = Field(default_factory=lambda: Selection(name="transformers"))
    samples: int = Field(2, ge=2, le=16, description="completions per prompt; neighbours are compared")
    temperature: float = Field(0.7, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(768, ge=1)
    batch_size: int = Field(32, ge=1)
    shard_size: int = Field(256, ge=1, description="prompts per file; what a killed run repeats at most")
    stop: list[str] | None = Field(None, description="strings that end a completion; null: the template's")


class JudgeSection(Section):
    generator: Choice = Field(default_factory=lambda: Selection(name="self-judge"))
    principles: Principles = Field(default_factory=lambda: PrincipleChoice(name="salmon-rm"))
    engine: Choice = Field(default_factory=lambda: Selection(name="transformers"))
    model: str = Field("policy", description="`policy` (the paper's way), or another model")
    shard_size: int = Field(64, ge=1, description="pairs per file")


class RewardModelSection(Section):
    init: str = Field("policy", description="`policy`, or another model to start from")
    path: str | None = Field(None, description="a trained reward model: its training is skipped")
    backend: str = "trl"
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_source(self) -> RewardModelSection:
        if self.path is not None and self.options:
            raise ValueError("`path` skips the training, so `options` would have no effect; remove one of them")
        return self


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


class RewardSection(Section):
    principles: Principles = Field(default_factory=lambda: PrincipleChoice(name="salmon-rl"))
    show: int = Field(3, ge=0, le=32, description="principles drawn for each prompt")
    combine: Literal["joint", "mean"] = Field(
        "joint",
        description="`joint`: all principles in one text (the paper's way); `mean`: one text each, weighted mean",
    )
    rm_weight: float = Field(1.0, allow_inf_nan=False, description="0: the reward model is not even loaded")
    engine: Choice = Field(default_factory=lambda: Selection(name="transformers"))
    interventions: list[Intervention] = []
    bonuses: list[Annotated[BonusChoice, BeforeValidator(_named)]] = []
    on_failure: Literal["stop"] | Annotated[float, Field(allow_inf_nan=False)] = Field(
        "stop", description="`stop`, or the score a failed component gets"
    )


class LaunchSection(Section):
    processes: int = Field(1, ge=1, description="on this machine")
    accelerate_config: str | None = Field(None, description="a file of `accelerate config`, for FSDP or DeepSpeed")


class TrainSection(Section):
    backend: str = "trl"
    algorithm: str = Field("ppo", description="of the backend; `none`: no RL, only what comes before is evaluated")
    epochs: int = Field(
        1,
        ge=1,
        description="visits of each prompt, each with principles drawn anew; where `options` fix the number of steps, "
        "as many as those need",
    )
    options: dict[str, Any] = {}
    python: str | None = Field(None, description="interpreter of the trainer, relative to this file; null: this one")
    launch: LaunchSection = LaunchSection()


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
    prompts: Choice = Field(description="a prompt source, plugin:NAME, or a JSONL, CSV or Parquet file")
    held_out: float = Field(
        0.1, ge=0, lt=1, description="share of prompts kept for evaluation if the source says nothing"
    )
    sft: SftSection | None = None
    sample: SampleSection = SampleSection()
    judge: JudgeSection = JudgeSection()
    preferences: str | None = Field(None, description="preference rows of your own: sampling and judging are skipped")
    reward_model: RewardModelSection = RewardModelSection()
    reward: RewardSection = RewardSection()
    train: TrainSection = TrainSection()
    evaluate: Annotated[list[Choice], BeforeValidator(_listed)] = []
    expect: list[Expectation] = []


def read_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """A configuration file with `key.path=value` overrides (values are YAML).

    Raises:
        ConfigError: all that is wrong with its shape.
    """
    return parse_config(read_yaml(path), str(path), overrides)


def parse_config(document: Any, where: str = "", overrides: Sequence[str] = ()) -> Config:
    """A configuration from plain data; see `read_config`."""
    if not isinstance(document, Mapping):
        raise ConfigError([Problem(where, "is empty" if document is None else "is not a mapping of keys to values")])
    try:
        values = _plain(document)
    except RecursionError:
        raise ConfigError([Problem(where, "contains itself, by way of a YAML anchor")]) from None
    problems: list[Problem] = []
    for override in overrides:
        try:
            problems += filter(None, [_override(values, override)])
        except ConfigError as error:
            problems += error.problems
    problems += _zeros(values, "")
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += problems_of(error, "")
    if problems:
        raise ConfigError([replace(problem, file=where) for problem in problems])
    return config


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _zeros(value: Any, where: str) -> Iterator[Problem]:
    """Texts with a zero character, which YAML can write and no path can have."""
    if isinstance(value, str) and "\0" in value:
        yield Problem(where, "has a zero character")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _zeros(item, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _zeros(item, f"{where}[{index}]")


def _override(values: dict[str, Any], override: str) -> Problem | None:
    """Sets one `a.b.0.c=value` in place."""
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    if not equals or not key:
        return Problem(where, "is not KEY=VALUE")
    place: Any = values
    parts = key.split(".")
    for part in parts[:-1]:
        if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, dict):
            if isinstance(place.get(part), str):  # a bare NAME gets options
                place[part] = {"name": place[part]}
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
        else:
            return Problem(where, f"there is no {part!r} to go into")
    try:
        value = _plain(parse_yaml(text, where))
    except RecursionError:
        return Problem(where, "contains itself, by way of a YAML anchor")
    last = parts[-1]
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        return Problem(where, f"there is no {last!r} to set")
    return None
