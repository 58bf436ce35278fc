"""Labellers: from judgments to what the reward model is trained on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from salmon_core.api.principles import Principle
from salmon_core.records import Judgment, Pair, PreferenceRow


@dataclass(frozen=True, slots=True)
class Labels:
    """Preference rows, and statistics to report (JSON-ready)."""

    rows: Sequence[PreferenceRow]
    statistics: Mapping[str, Any] = field(default_factory=dict)


class Labeller(ABC):
    """Draws principle sets and labels; works over any judge's judgments."""

    @abstractmethod
    def label(
        self, pairs: Sequence[Pair], judgments: Sequence[Judgment], principles: Sequence[Principle], rng: Random
    ) -> Labels:
        """Preference rows of these pairs.

        Args:
            judgments: one for each pair and principle.
            rng: the only source of chance; the run's, by name.
        """
