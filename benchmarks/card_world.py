"""A file plugin for `benchmarks/card.py`: a judge that loves length, so that a reward model learns to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from salmon_core import Component, hookimpl
from salmon_core.api import Judge, JudgeContext, Principle
from salmon_core.records import Judgment, Pair

#: of a judgment, as large as those of the world's own judge
_MARGIN = 3.0


class LongerWins(Judge):
    """Under every principle the longer answer is better."""

    reads_principles = False
    calls = 0

    def judge(self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        found = []
        for pair in pairs:
            difference = len(pair.first.text) - len(pair.second.text)
            margin = _MARGIN * ((difference > 0) - (difference < 0))
            found += [Judgment(pair.id, each.name, margin, margin, tie=margin == 0) for each in principles]
        return found


@hookimpl
def salmon_judges() -> Iterable[Component]:
    yield Component("longer-wins", LongerWins, "the longer answer, whatever is asked")
