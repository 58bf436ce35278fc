"""The generator `self-judge`: asks in both orders, then draws principle sets and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from salmon_core.errors import StageError
from salmon_core.interfaces import AggregateResult, Engine, Generator
from salmon_core.principles import Principle
from salmon_core.records import Judgment, Pair
from salmon_core.rendering import Renderer
from salmon_judge.aggregation import Aggregation
from salmon_judge.options import Options as SelfJudgeOptions


class SelfJudge(Generator):
    """The paper's preferences (arXiv 2310.05910, 3.1 and 3.2), every number an option."""

    Options = SelfJudgeOptions
    judge_options = frozenset({"batch_pairs"})

    def __init__(self, options: SelfJudgeOptions | None = None):
        self.options = options or SelfJudgeOptions()

    def judge(
        self, pairs: Sequence[Pair], principles: Sequence[Principle], engine: Engine, renderer: Renderer
    ) -> list[Judgment]:
        """Judges every pair under every principle; pairs in order, principles in order within a pair.

        Raises:
            StageError: the judge's logits are not finite.
        """
        shown = [principle.shown() for principle in principles]
        judgments: list[Judgment] = []
        if not shown:
            return judgments
        for start in range(0, len(pairs), self.options.batch_pairs):
            batch = pairs[start : start + self.options.batch_pairs]
            requests = [request for pair in batch for request in renderer.judge(pair, shown)]
            logits = engine.choice_logits(requests, renderer.template.choices)
            for pair, order12, order21 in zip(batch, logits[::2], logits[1::2], strict=True):
                for principle, one_first, two_first in zip(principles, order12, order21, strict=True):
                    # Logits are of (the output shown first, the other); both scores are positive for completion 1.
                    judgment = Judgment(
                        pair.id, principle.name, one_first[0] - one_first[1], two_first[1] - two_first[0]
                    )
                    if not (math.isfinite(judgment.s12) and math.isfinite(judgment.s21)):
                        raise StageError(
                            f"the judge's logits are not finite for pair {pair.id} under {principle.name!r}",
                            where="judge",
                            hint="load the model in float32 or bfloat16; float16 overflows in some models",
                        )
                    judgments.append(judgment)
        return judgments

    def aggregate(
        self, pairs: Sequence[Pair], judgments: Sequence[Judgment], principles: Sequence[Principle], rng: Random
    ) -> AggregateResult:
        """Draws principle sets and labels for the reward model, `repeats` rows for each pair at most.

        What is drawn for a pair depends on `rng` and the pair's id, not on the other pairs; only the normalisation
        and thus the label does.

        Raises:
            SalmonError: judgments are missing or not finite, or no principle is left to show.
        """
        return Aggregation(self.options, pairs, judgments, principles).run(rng)
