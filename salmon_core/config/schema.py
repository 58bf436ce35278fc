"""The shape of a configuration. Names and options are looked up in `resolve`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from salmon_core.api.component import paper


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


class DefaultSelection(BaseModel):
    """The same, but a null or missing name means the installed default of the kind."""

    model_config = ConfigDict(extra="allow")

    name: str | None = Field(None, min_length=1)

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def _maybe_named(value: Any) -> Any:
    return {} if value is None else _named(value)


DefaultChoice = Annotated[DefaultSelection, BeforeValidator(_maybe_named)]


class BonusChoice(Selection):
    """A bonus, its weight, and the label it is logged under (its name by default)."""

    weight: float = Field(1.0, allow_inf_nan=False)
    label: str | None = Field(None, min_length=1)


class OwnJudge(Section):
    """Who judges for one evaluator alone; what is left out is as in `judge`."""

    judge: DefaultChoice | None = Field(None, description="a judge; null: as `judge.judge`")
    engine: DefaultChoice | None = Field(None, description="an engine; null: as `judge.engine`")
    model: str | None = Field(None, min_length=1, description="`policy`, or another model; null: as `judge.model`")
    form: Literal["auto", "chat", "text"] | None = Field(None, description="null: as `judge.form`")


class EvaluatorChoice(Selection):
    """An evaluator, and who judges for it."""

    judge: OwnJudge | None = Field(None, description="another judge than the run's, for this evaluator")


class PromptChoice(Selection):
    """A prompt source, and what becomes of rows that cannot be used as they are."""

    limit: int | None = Field(None, ge=1, description="train on so many, and hold out a share as large")
    on_bad_row: Literal["error", "drop"] = Field("error", description="of a row that is no prompt, or an empty one")
    answers: Literal["drop", "error"] = Field(
        "drop", description="of a conversation that ends with the assistant's turn; `drop`: asked without that turn"
    )
    too_long: Literal["error", "drop", "cut"] = Field(
        "error", description="of a prompt that leaves no room for `sample.max_new_tokens`; `cut`: its beginning goes"
    )
    system: Literal["fold", "error"] = Field(
        "fold", description="of a system turn that the chat template refuses; `fold`: put before the first user turn"
    )
    rubrics: str | None = Field(
        None,
        description="a JSON Lines file of principles for single prompts: `principles`, and `id`, `prompt` or `messages`"
        " of the prompt; see `reward.principles.per_prompt`",
    )


class PrincipleChoice(Section):
    """A principle set: `NAME`, a path to a YAML file, or a set with changes."""

    name: str = Field(min_length=1)
    only: list[str] | None = Field(None, description="these principles of the set, no others")
    without: list[str] = Field([], description="all but these")
    weights: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    negate: bool | list[str] = Field(False, description="show these principles (or all) by their negated text")


class RewardPrincipleChoice(PrincipleChoice):
    """The same for the reward, and what becomes of principles that prompts bring along."""

    per_prompt: Literal["add", "only"] | None = Field(
        None,
        description="prompts' own principles, which they are judged and rewarded by: `add`: beside the sets',"
        " `only`: a prompt that has some by these alone; null: not at all",
    )


Principles = Annotated[PrincipleChoice, BeforeValidator(_named)]


RUN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


#: the two selections that several sections have
Engine: Any = Field(DefaultSelection(), description="an engine; null: the installed default")
Backend: Any = Field(None, description="a trainer backend; null: the installed default")


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


class SftSection(Section):
    data: str = Field(description="JSONL, CSV or Parquet with `prompt` or `messages`, and `completion`")
    backend: str | None = Backend
    options: dict[str, Any] = {}


class SampleSection(Section):
    engine: DefaultChoice = Engine
    samples: int = Field(
        2,
        ge=2,
        le=16,
        description="completions per prompt; neighbours are compared",
        json_schema_extra=paper(2, "completions per prompt"),
    )
    temperature: float = Field(0.7, ge=0, le=10, json_schema_extra=paper(0.7, "sampling temperature"))
    top_p: float = Field(1.0, gt=0, le=1, json_schema_extra=paper(1.0, "nucleus"))
    max_new_tokens: int = Field(768, ge=1, json_schema_extra=paper(768, "tokens sampled at most"))
    batch_size: int = Field(32, ge=1)
    shard_size: int = Field(256, ge=1, description="prompts per file; what a killed run repeats at most")
    stop: list[str] | None = Field(None, description="strings that end a completion; null: the template's")


class JudgeSection(Section):
    judge: DefaultChoice = Field(DefaultSelection(), description="a judge; null: the installed default")
    principles: Principles = Field(
        default_factory=lambda: PrincipleChoice(name="salmon-rm"),
        json_schema_extra=paper("salmon-rm", "judge principles"),
    )
    engine: DefaultChoice = Engine
    model: str = Field(
        "policy",
        description="`policy` (the paper's way), or another model",
        json_schema_extra=paper("policy", "who judges"),
    )
    orders: Literal["agree", "mean"] = Field(
        "agree",
        description="a pair's score: 0 where its two orders disagree, or their mean, which cancels an additive bias",
        json_schema_extra=paper("agree", "what both orders have to do"),
    )
    form: Literal["auto", "chat", "text"] = Field(
        "auto", description="how a model is asked; `auto`: by its chat template where it has one, else as plain text"
    )
    probe: int = Field(
        64,
        ge=0,
        description="pairs judged again, those it said most of: by negated principles and in other words",
    )
    gold: str | None = Field(
        None, description="a file of pairs with known answers: `prompt`, `first`, `second`, `principle`, `better`"
    )
    on_weak: Literal["stop", "warn"] = Field(
        "stop", description="what becomes of a run whose judge cannot be told from chance"
    )
    shard_size: int = Field(64, ge=1, description="pairs per file")
    concurrency: int = Field(8, ge=1, le=1024, description="calls of an API at once, for judges that make some")
    attempts: int = Field(5, ge=1, le=100, description="of each such call")


class PreferencesSection(Section):
    """Preference rows of your own: the path alone, or with how they are read. See docs/data.md."""

    path: str = Field(
        min_length=1, description="a Parquet, JSON Lines, JSON or CSV file, a data set's folder, a hub id"
    )
    subset: str | None = Field(None, description="of a data set")
    split: str = Field("train", description="of a data set")
    revision: str | None = Field(None, description="of a data set of the hub")
    limit: int | None = Field(None, ge=1, description="at most so many rows")
    ratings: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        {}, description="of rows with one rated response each: column of a rating -> the principle it rates"
    )
    default_principle: str | None = Field(
        None, min_length=1, description="shown with rows that name none: a name or a text"
    )
    on_bad_row: Literal["error", "drop"] = Field("error", description="of a row that is no preference")


def _at_path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


Preferences = Annotated[PreferencesSection, BeforeValidator(_at_path, json_schema_input_type=str | PreferencesSection)]


class KeepSection(Section):
    """Rows by a number in a column of the file, such as SHP's ratio of scores."""

    column: str = Field(min_length=1, description="of the file; a row without a number there is no row to keep")
    above: float = Field(allow_inf_nan=False, description="kept are rows with more than this there")


class PretrainSection(Section):
    """What the reward model is trained on first: preferences that need no principles (arXiv 2112.00861)."""

    preferences: Preferences = Field(description="a file, folder or hub id, or how it is read; see `preferences`")
    principles: Literal["none", "rows"] = Field(
        "none",
        description="`none`: the texts show no principle; `rows`: those that rows name",
        json_schema_extra=paper("none", "pre-training of the reward model: principles shown"),
    )
    keep: KeepSection | None = Field(
        None, description="only some of the file's rows: `{column: score_ratio, above: 2}` (the paper's, of SHP)"
    )
    min_margin: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="only rows whose margin, or difference of ratings, is as large"
    )
    limit: int | None = Field(None, ge=1, description="at most so many of the rows that are left")
    backend: str | None = Field(None, description="a trainer backend; null: as `reward_model.backend`")
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _means_something(self) -> PretrainSection:
        if self.keep is not None and self.preferences.ratings:
            raise ValueError("`keep` looks at rows, and with `ratings` a row is one answer; use `min_margin`")
        if self.principles == "none" and self.preferences.default_principle is not None:
            raise ValueError("`preferences.default_principle` would not be shown; set `principles: rows`")
        return self


class RewardModelSection(Section):
    init: str = Field("policy", description="`policy`, or another model to start from")
    path: str | None = Field(None, description="a trained reward model: its training is skipped")
    pretrain: PretrainSection | None = Field(None, description="preferences that it is trained on first; null: none")
    backend: str | None = Backend
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_source(self) -> RewardModelSection:
        if self.path is not None and self.options:
            raise ValueError("`path` skips the training, so `options` would have no effect; remove one of them")
        if self.path is not None and self.pretrain is not None:
            raise ValueError("`path` skips the training, so `pretrain` would have no effect; remove one of them")
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


class VetoSection(Section):
    """What becomes of an answer that breaks a hard rule, which is a principle with `veto: true`."""

    below: float = Field(
        allow_inf_nan=False, description="the reward model's score under the rule alone, below which it is broken"
    )
    floor: float = Field(allow_inf_nan=False, description="the reward then, whatever else there is")


class RewardSection(Section):
    principles: Annotated[RewardPrincipleChoice, BeforeValidator(_named)] = Field(
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
    bonuses: list[Annotated[BonusChoice, BeforeValidator(_named)]] = []
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
    prompts: Annotated[PromptChoice, BeforeValidator(_named)] = Field(
        description="a prompt source, plugin:NAME, or a JSONL, CSV or Parquet file"
    )
    held_out: float = Field(
        0.1, ge=0, lt=1, description="share of prompts kept for evaluation if the source says nothing"
    )
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
    evaluate: Annotated[list[Annotated[EvaluatorChoice, BeforeValidator(_named)]], BeforeValidator(_listed)] = []
    expect: list[Expectation] = []
