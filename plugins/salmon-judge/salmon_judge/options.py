"""The options of the labeller `salmon`; every default is the paper's (arXiv 2310.05910, 3.2)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import paper
from salmon_judge.rules import Rule

#: of the bundled set `salmon-rm`: judged, but not used for the reward model's labels
PAPER_EXCLUDES = ("overall-helpful", "natural-and-fluent", "multilingual")


class Options(BaseModel):
    """How judgments become preferences."""

    model_config = ConfigDict(extra="forbid")

    repeats: int = Field(
        default=4, ge=1, description="rows drawn per pair", json_schema_extra=paper(4, "preference rows drawn per pair")
    )
    geometric_p: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="of the number of principles shown",
        json_schema_extra=paper(0.2, "geometric distribution of the number of principles"),
    )
    cap: int = Field(
        default=8, ge=1, description="the most principles shown", json_schema_extra=paper(8, "principles at most")
    )
    negate_probability: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="of showing a principle's negated text",
        json_schema_extra=paper(0.5, "share of negated principles"),
    )
    label: Literal["dominant", "mean"] = Field(
        default="dominant",
        description="sign of the largest score shown, or of the mean of all scores shown",
        json_schema_extra=paper("dominant", "which principle decides a label"),
    )
    normalise: Literal["variance", "std", "none"] = Field(
        default="variance",
        description="of a principle's scores over all pairs; what they are divided by",
        json_schema_extra=paper("variance", "scores are divided by"),
    )
    min_margin: float = Field(
        default=0.0,
        ge=0,
        description="rows whose score is smaller are dropped, after normalisation",
        json_schema_extra=paper(0.0, "weakest score that makes a row"),
    )
    flip: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="probability of turning a label round",
        json_schema_extra=paper(0.1, "label noise"),
    )
    flip_by_rule: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="the same where a rule decided",
        json_schema_extra=paper(0.25, "label noise where a rule decided"),
    )
    min_characters: int = Field(
        default=16,
        ge=0,
        description="pairs with a shorter completion are dropped",
        json_schema_extra=paper(16, "shortest completion that makes a row"),
    )
    exclude: tuple[str, ...] | None = Field(
        default=None, description="principles judged but not shown; null: the paper's three, as far as the set has them"
    )
    rules: tuple[Rule, ...] = Field(
        default=("language", "phrase"),  # validated into rules
        validate_default=True,
        description="in order; the first that applies to a row decides",
    )
