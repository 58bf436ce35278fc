"""A file plugin for `prove_kills.py`: a judge that asks the run's model, and keeps what it said in the run's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from salmon_core import Component, hookimpl
from salmon_core.api import Judge, JudgeContext, Principle
from salmon_core.records import Judgment, Pair


class Remembered(Judge):
    """Which of two letters the model finds likelier, in both orders; each pair is asked about once."""

    async def judge(
        self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext
    ) -> list[Judgment]:
        found = []
        for pair in pairs:
            for principle, (s12, s21) in zip(principles, await _scores(pair, principles, context), strict=True):
                found.append(Judgment(pair.id, principle.name, s12, s21))
        return found


async def _scores(pair: Pair, principles: Sequence[Principle], context: JudgeContext) -> list[list[float]]:
    requests = context.render(pair, [principle.shown() for principle in principles])

    async def ask() -> Any:
        one, two = context.chooser.choose(requests, context.template.choices)
        return [[a[0] - a[1], b[1] - b[0]] for a, b in zip(one, two, strict=True)]

    asked = {"pair": pair.id, "texts": [pair.first.text, pair.second.text], "principles": [p.text for p in principles]}
    answer: list[list[float]] = await context.call(asked, ask)
    return answer


@hookimpl
def salmon_judges() -> Iterator[Component]:
    yield Component("remembered", Remembered, "a model's choices, kept in the run's cache")
