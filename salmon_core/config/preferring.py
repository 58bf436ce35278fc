"""Sections about preferences and the reward model: sampling, judging, rows of one's own, and training on them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from salmon_core.api.component import paper
from salmon_core.config.choices import (
    Backend,
    DefaultChoice,
    DefaultSelection,
    Engine,
    PrincipleChoice,
    Principles,
    Section,
)


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
