"""How a configuration chooses components and principles: by a name alone, or by a name with more beside it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Selection(BaseModel):
    """A component chosen by name: `NAME`, or `{name: NAME, ...its options}`."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1)

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def named(value: Any) -> Any:
    """`NAME` as `{name: NAME}`."""
    return {"name": value} if isinstance(value, str) else value


def listed(value: Any) -> Any:
    """One of them as a list of one."""
    return value if isinstance(value, list | tuple) or value is None else [value]


Choice = Annotated[Selection, BeforeValidator(named)]


class DefaultSelection(BaseModel):
    """The same, but a null or missing name means the installed default of the kind."""

    model_config = ConfigDict(extra="allow")

    name: str | None = Field(None, min_length=1)

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


def maybe_named(value: Any) -> Any:
    return {} if value is None else named(value)


DefaultChoice = Annotated[DefaultSelection, BeforeValidator(maybe_named)]


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


Principles = Annotated[PrincipleChoice, BeforeValidator(named)]


#: the two selections that several sections have
Engine: Any = Field(DefaultSelection(), description="an engine; null: the installed default")
Backend: Any = Field(None, description="a trainer backend; null: the installed default")
