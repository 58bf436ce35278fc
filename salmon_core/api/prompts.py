"""Prompt sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from salmon_core.records import Prompt


class PromptSource(ABC):
    """Yields prompts; those without a split are split by the pipeline."""

    @abstractmethod
    def load(self) -> Iterable[Prompt]: ...
