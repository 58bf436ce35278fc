"""The labeller `salmon`: draws principle sets and labels from any judge's judgments."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from salmon_core.api import Labeller, Labels, Principle
from salmon_core.records import Judgment, Pair
from salmon_judge.aggregation import Aggregation
from salmon_judge.options import Options as SalmonOptions


class SalmonLabeller(Labeller):
    """The paper's preferences (arXiv 2310.05910, 3.2), every number an option."""

    Options = SalmonOptions

    def __init__(self, options: SalmonOptions | None = None):
        self.options = options or SalmonOptions()

    def label(
        self, pairs: Sequence[Pair], judgments: Sequence[Judgment], principles: Sequence[Principle], rng: Random
    ) -> Labels:
        """Draws principle sets and labels for the reward model, `repeats` rows for each pair at most.

        What is drawn for a pair depends on `rng` and the pair's id, not on the other pairs; only the normalisation
        and thus the label does.

        Raises:
            SalmonError: judgments are missing or not finite, or no principle is left to show.
        """
        return Aggregation(self.options, pairs, judgments, principles).run(rng)
