"""The bonus `stock-phrase`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import Bonus
from salmon_core.records import Rollout


class StockPhrase(Bonus):
    """-1 for a completion with one of the phrases, however often, else 0.

    Upper and lower case and the kind of white space do not matter.
    """

    class Options(BaseModel):
        """The default is the phrase the paper names."""

        model_config = ConfigDict(extra="forbid")

        phrases: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
            default=("As an AI language model",), min_length=1, description="looked for anywhere in the completion"
        )

    def __init__(self, options: Options | None = None):
        self._phrases = [_folded(phrase) for phrase in (options or self.Options()).phrases]

    def score_one(self, rollout: Rollout) -> float:
        text = _folded(rollout.completion)
        return -1.0 if any(phrase in text for phrase in self._phrases) else 0.0


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
