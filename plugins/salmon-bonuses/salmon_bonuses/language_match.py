"""The bonus `language-match`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from salmon_core.api import Bonus
from salmon_core.kit.language import LanguageDetector, installed
from salmon_core.records import Rollout


class LanguageMatch(Bonus):
    """1 for a completion in the language of the prompt's last user turn, else 0.

    0 as well where either language is not certain. A prompt that asks for another language ("translate into German")
    is not understood: leave the bonus out where such prompts are common.
    """

    class Options(BaseModel):
        """The paper gives no numbers here."""

        model_config = ConfigDict(extra="forbid")

        confidence: float = Field(default=0.5, gt=0, le=1, description="certainty from which on a language is known")
        languages: tuple[str, ...] | None = Field(
            default=None, min_length=1, description="codes of the only ones in question; helps short texts; null: any"
        )

        @model_validator(mode="after")
        def _installed(self) -> LanguageMatch.Options:
            if not installed():
                raise ValueError("needs a language detector: pip install 'salmon-bonuses[language]'")
            return self

    def __init__(self, options: Options | None = None):
        options = options or self.Options()
        self._detect = LanguageDetector("salmon-bonuses", confidence=options.confidence, languages=options.languages)

    def score_one(self, rollout: Rollout) -> float:
        # The detector remembers texts, so the prompt that a group's rollouts share is looked at once.
        wanted = self._detect(rollout.prompt)
        return 1.0 if wanted is not None and self._detect(rollout.completion) == wanted else 0.0
