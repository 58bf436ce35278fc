"""The judge `self-judge`: a model chooses between two completions, in both orders."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import Judge, JudgeContext, Principle
from salmon_core.calls import within
from salmon_core.errors import StageError
from salmon_core.records import Judgment, Pair


class SelfJudge(Judge):
    """The paper's judge (arXiv 2310.05910, 3.1): which of two letters is likelier where its answer begins."""

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        batch_pairs: int = Field(default=16, ge=1, description="pairs handed to the model at once")

    def __init__(self, options: Options | None = None):
        self.options = options or self.Options()

    def judge(self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        """Judges every pair under every principle; pairs in order, principles in order within a pair.

        Raises:
            StageError: the model's logits are not finite.
        """
        return self.judge_each([(pair, principles) for pair in pairs], context)

    def judge_each(self, items: Sequence[tuple[Pair, Sequence[Principle]]], context: JudgeContext) -> list[Judgment]:
        """Judges each pair under principles of its own, as many pairs at once as `batch_pairs`."""
        judgments: list[Judgment] = []
        for start in range(0, len(items), self.options.batch_pairs):
            batch = items[start : start + self.options.batch_pairs]
            requests = [
                request
                for pair, principles in batch
                for request in context.render(pair, [principle.shown() for principle in principles])
            ]
            with within(start / len(items), (start + len(batch)) / len(items)):
                logits = context.chooser.choose(requests, context.template.choices)
            for (pair, principles), order12, order21 in zip(batch, logits[::2], logits[1::2], strict=True):
                for principle, one_first, two_first in zip(principles, order12, order21, strict=True):
                    judgments.append(_judgment(pair, principle, one_first, two_first))
        return judgments


def _judgment(
    pair: Pair, principle: Principle, one_first: tuple[float, float], two_first: tuple[float, float]
) -> Judgment:
    """Logits are of (the output shown first, the other); both scores are positive for completion 1."""
    judgment = Judgment(pair.id, principle.name, one_first[0] - one_first[1], two_first[1] - two_first[0])
    if not (math.isfinite(judgment.s12) and math.isfinite(judgment.s21)):
        raise StageError(
            f"the judge's logits are not finite for pair {pair.id} under {principle.name!r}",
            where="judge",
            hint="load the model in float32 or bfloat16; float16 overflows in some models",
        )
    return judgment
