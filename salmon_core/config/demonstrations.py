"""Sections about the initial policy: demonstrations that the model makes itself, and fine-tuning on some."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from salmon_core.config.choices import Backend, DefaultChoice, Engine, PrincipleChoice, Principles, Section


class QuestionsSection(Section):
    """How questions are invented, and which are left out."""

    generate: int = Field(1000, ge=1, description="questions that are wanted, after those left out")
    attempts: int = Field(3, ge=1, le=100, description="at most so many times as many are asked for")
    topics: str | None = Field(None, description="a YAML file of topics, kinds and examples; null: the bundled one")
    show: int = Field(5, ge=0, le=64, description="examples shown, drawn anew for each question")
    temperature: float = Field(1.0, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(128, ge=1)
    min_words: int = Field(3, ge=1, description="shorter ones are left out")
    max_words: int = Field(150, ge=1, description="longer ones are left out")
    similar: float | None = Field(
        0.7,
        gt=0,
        le=1,
        description="share of words and pairs of words in common with an earlier or a held-out one, from which on it is"
        " left out; null: only repeats are",
    )

    @model_validator(mode="after")
    def _some_length(self) -> QuestionsSection:
        if self.max_words < self.min_words:
            raise ValueError(f"`max_words` {self.max_words} is below `min_words` {self.min_words}")
        return self


class AnswerFilters(Section):
    """Which answers are left out, beside those with no end, no thought, or another turn in them."""

    min_characters: int = Field(16, ge=1, description="shorter ones")
    repeats: float | None = Field(
        0.8,
        gt=0,
        le=1,
        description="those that begin with the prompt, or have such a share of words and pairs of words in common with"
        " it; null: none",
    )
    mentions: list[Annotated[str, Field(min_length=1)]] = Field(
        ["principle", "principles", "guideline", "guidelines", "preamble", "exemplar", "exemplars"],
        description="those with one of these words that the prompt does not have; those that quote a principle anyway",
    )
    same_answer: int | None = Field(
        5, ge=1, description="those that were given to so many prompts already; null: to any number"
    )


class VerboseSection(Section):
    """A second pass, whose preamble asks for thorough answers, over the prompts that were answered."""

    principles: Principles | None = Field(None, description="a set; null: as in the first pass")
    exemplars: str | None = Field(None, description="a YAML file of exemplars; null: as in the first pass")
    max_new_tokens: int | None = Field(None, ge=1, description="null: as in the first pass")
    keep: Literal["replace", "both"] = Field(
        "replace", description="`replace`: a thorough answer stands for the first one; `both`: beside it"
    )


class SelfAlignSection(Section):
    """The model makes its own demonstrations, in context by principles (arXiv 2305.03047). See docs/self-align.md."""

    model: str = Field("policy", description="`policy`, or another model that answers")
    engine: DefaultChoice = Engine
    principles: Principles = Field(default_factory=lambda: PrincipleChoice(name="self-align"))
    show_principles: int | None = Field(None, ge=1, description="so many, drawn for each prompt; null: all")
    exemplars: str | None = Field(None, description="a YAML file of worked exemplars; null: the bundled one")
    show_exemplars: int = Field(4, ge=0, le=64, description="drawn for each prompt")
    thoughts: bool = Field(
        True, description="a thought that names principles stands before each answer, and is cut off"
    )
    prompts: Literal["generated", "run", "both"] = Field(
        "generated", description="what is answered: questions that the model invents, the run's prompts, or both"
    )
    questions: QuestionsSection = QuestionsSection()
    samples: int = Field(1, ge=1, le=64, description="answers to each prompt")
    temperature: float = Field(0.7, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(768, ge=1, description="of thought and answer together")
    batch_size: int = Field(32, ge=1)
    shard_size: int = Field(256, ge=1, description="prompts per file; what a killed run repeats at most")
    filters: AnswerFilters = AnswerFilters()
    verbose: VerboseSection | None = None


class SftSection(Section):
    data: str | None = Field(
        None,
        description="JSONL, CSV or Parquet with `prompt` or `messages`, and `completion`; with `self_align` null, or"
        " more demonstrations, which come first",
    )
    backend: str | None = Backend
    options: dict[str, Any] = {}
