"""Prompt sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from salmon_core.errors import DataError
from salmon_core.records import Prompt


class PromptSource(ABC):
    """Yields prompts; those without a split are split by the pipeline."""

    @abstractmethod
    def load(self) -> Iterable[Prompt]:
        """All prompts, in an order that is always the same."""

    def located(self) -> Iterable[tuple[str, Prompt | DataError]]:
        """The same with the place of each, for messages: file and line, for example.

        A row that is no prompt is given as its error, so that the user may choose to go on without it. Here, other than
        by `load`, a conversation may end with the assistant's turn: the pipeline leaves it out or refuses it.
        """
        for number, prompt in enumerate(self.load()):
            yield f"prompt {number}", prompt
