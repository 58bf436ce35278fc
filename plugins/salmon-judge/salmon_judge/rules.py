"""Symbolic rules that override a label: a mapping in a configuration, and what it decides about pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from salmon_core.kit.language import LanguageDetector, installed
from salmon_core.records import Pair

#: which completion wins, or that the pair is of no use; None: the rule does not apply
Verdict = Literal["first", "second", "drop"] | None


class LanguageRule(BaseModel):
    """If only one completion is in the prompt's language, it wins; if neither is, the row is dropped.

    Where the language of the prompt is not certain, or that of the completions leaves it open, nothing is decided.
    """

    model_config = ConfigDict(extra="forbid")

    name: Literal["language"] = "language"
    probability: float = Field(default=1.0, ge=0, le=1, description="how often the rule is applied where it applies")
    confidence: float = Field(default=0.5, gt=0, le=1, description="certainty from which on a language counts as known")
    languages: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="the only ones in question; null: any"
    )

    @model_validator(mode="after")
    def _installed(self) -> LanguageRule:
        if not installed():
            raise ValueError(
                "the rule `language` needs a language detector: pip install 'salmon-judge[language]',"
                " or leave it out of `rules`"
            )
        return self

    def decider(self) -> Callable[[Pair], Verdict]:
        """What decides about a pair; languages are looked up once."""
        detect = LanguageDetector("salmon-judge", confidence=self.confidence, languages=self.languages)

        def verdict(pair: Pair) -> Verdict:
            wanted = detect(pair.prompt.text)
            if wanted is None:
                return None
            first, second = detect(pair.first.text), detect(pair.second.text)
            if first is None or second is None or first == second == wanted:
                return None
            if first == wanted:
                return "first"
            return "second" if second == wanted else "drop"

        return verdict


class PhraseRule(BaseModel):
    """A completion with a stock phrase loses to one without."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["phrase"] = "phrase"
    probability: float = Field(default=0.5, ge=0, le=1, description="how often the rule is applied where it applies")
    phrases: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        ("As an AI language model",), min_length=1, description="looked for anywhere, whatever their case"
    )

    def decider(self) -> Callable[[Pair], Verdict]:
        """What decides about a pair."""
        wanted = [_folded(phrase) for phrase in self.phrases]

        def stock(text: str) -> bool:
            folded = _folded(text)
            return any(phrase in folded for phrase in wanted)

        def verdict(pair: Pair) -> Verdict:
            one, two = stock(pair.first.text), stock(pair.second.text)
            return None if one == two else ("second" if one else "first")

        return verdict


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Rule = Annotated[LanguageRule | PhraseRule, Field(discriminator="name"), BeforeValidator(_named)]
