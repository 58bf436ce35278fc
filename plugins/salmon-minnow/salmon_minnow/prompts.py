"""The minnow world's prompts as a prompt source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import PromptSource
from salmon_core.records import Prompt
from salmon_minnow.world import PROMPTS, WorldPrompt

Kind = Literal["capital", "color", "sum", "howto", "greeting", "harm"]
Language = Literal["en", "de", "es"]


def as_prompt(prompt: WorldPrompt) -> Prompt:
    """A prompt of the world as the pipeline knows it."""
    split = "test" if prompt.held_out else "train"
    return Prompt.from_text(prompt.text, id=prompt.id, category=prompt.category, split=split)


class MinnowPrompts(PromptSource):
    """All prompts of the world, or those of some kinds or languages; the held-out ones are the `test` split."""

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        kinds: list[Kind] | None = Field(None, description="capital, color, sum, howto, greeting, harm; null: all")
        languages: list[Language] | None = Field(None, description="en, de, es; null: all")

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or self.Options()

    def load(self) -> Iterator[Prompt]:
        """Yields the selected prompts, each once, in a fixed order."""
        for prompt in PROMPTS:
            if self.selects(prompt):
                yield as_prompt(prompt)

    def selects(self, prompt: WorldPrompt) -> bool:
        """Whether a prompt is of those kinds and languages."""
        kinds, languages = self._options.kinds, self._options.languages
        return (kinds is None or prompt.kind in kinds) and (languages is None or prompt.language in languages)
