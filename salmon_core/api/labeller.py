"""Labellers: from judgments to what the reward model is trained on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from salmon_core.api.principles import Principle
from salmon_core.records import Judgment, Pair, PreferenceRow


@dataclass(frozen=True, slots=True)
class Labels:
    """What a labeller makes.

    Attributes:
        rows: written as they are made, so they may be an iterator; gone through once.
        statistics: to report, JSON-ready; or what gives them, called after the last row.
    """

    rows: Iterable[PreferenceRow]
    statistics: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = field(default_factory=dict)

    def made(self) -> MadeLabels:
        """All of it at once: for tests, and where there is little."""
        rows = list(self.rows)
        return MadeLabels(rows, self.statistics() if callable(self.statistics) else self.statistics)


@dataclass(frozen=True, slots=True)
class MadeLabels:
    """Rows and statistics that are there."""

    rows: Sequence[PreferenceRow]
    statistics: Mapping[str, Any]


def judged_by(pair: Pair, principles: Sequence[Principle]) -> Sequence[Principle]:
    """What a pair is judged by: the set, or what its prompt brings along."""
    return cast(Sequence[Principle], pair.prompt.principles) or principles


class Labeller(ABC):
    """Draws principle sets and labels; works over any judge's judgments."""

    @abstractmethod
    def label(
        self, pairs: Sequence[Pair], judgments: Sequence[Judgment], principles: Sequence[Principle], rng: Random
    ) -> Labels:
        """Preference rows of these pairs.

        In a run both are read from files as one goes through them, again each time: there may be more than memory
        holds. Indices and slices go through all that is before.

        Args:
            pairs: some may be judged by other principles than the set's, see `judged_by`.
            judgments: one for each pair and principle, in the order of the pairs.
            principles: the set.
            rng: the only source of chance; the run's, by name.
        """
