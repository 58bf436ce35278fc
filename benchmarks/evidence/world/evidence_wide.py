"""A file plugin of the evidence on the wide world: the reward model, and the judge, under each of its principles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from salmon_core import Component, hookimpl
from salmon_core.api import EvaluatedRun, Evaluator, Metrics
from salmon_core.kit.statistics import rate
from salmon_core.records import Pair, ShownPrinciple
from salmon_core.rng import named_rng
from salmon_minnow.wide.oracle import prefers, read
from salmon_minnow.wide.principles import PRINCIPLES
from salmon_minnow.world import PROMPTS_BY_TEXT

#: (principle, polarity, wording)
Asked = tuple[str, str, str]


class WideTexts(Evaluator):
    """The reward model under each text of the wide world, whatever it was trained on, and the judge under its own.

    Values: `alone`, right answers of the reward model by principle, polarity and wording (1: as trained, 2: the other
    one); `judged`, by principle, how often the judge prefers what the oracle does, both orders together, and
    `judged_twice`, in each of both orders.
    """

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        samples: int = Field(8, ge=2, description="completions per held-out prompt")
        most: int = Field(24, ge=1, description="pairs of a principle")
        judged: bool = Field(False, description="whether the judge is measured as well")

    def __init__(self, options: Options) -> None:
        self._options = options
        self.needs = frozenset({"initial", "reward", *(("judge",) if options.judged else ())})

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """See the class."""
        pairs = [pair for pair in run.pairs(self._options.samples) if pair.prompt.text in PROMPTS_BY_TEXT]
        truth = {name: [_better(name, pair) for pair in pairs] for name in PRINCIPLES}
        values = self._judged(run, pairs, truth) if self._options.judged else {}
        return Metrics("evidence-wide", values | {"alone": self._alone(run, pairs, truth)})

    def _judged(self, run: EvaluatedRun, pairs: Sequence[Pair], truth: dict[str, list[int]]) -> dict[str, Any]:
        number = {pair.id: index for index, pair in enumerate(pairs)}
        once: dict[str, list[bool]] = {}
        twice: dict[str, list[bool]] = {}
        for each in run.judge(pairs):
            better = truth[each.principle][number[each.pair_id]]
            if better:
                once.setdefault(each.principle, []).append((each.s12 + each.s21) * better > 0)
                twice.setdefault(each.principle, []).append(each.s12 * better > 0 and each.s21 * better > 0)
        return {
            key: {name: _rate(right) for name, right in found.items()}
            for key, found in (("judged", once), ("judged_twice", twice))
        }

    def _alone(self, run: EvaluatedRun, pairs: Sequence[Pair], truth: dict[str, list[int]]) -> dict[str, Any]:
        asked: dict[int, list[tuple[Asked, bool]]] = {}
        for name, own in truth.items():
            differing = [index for index, better in enumerate(own) if better]
            rng = named_rng(run.seed, "evidence-wide", name)
            for index in rng.sample(differing, min(self._options.most, len(differing))):
                for polarity in ("positive", "negated"):
                    for wording in ("1", "2"):
                        first = (own[index] > 0) == (polarity == "positive")
                        asked.setdefault(index, []).append(((name, polarity, wording), first))
        texts = [
            (pairs[index].prompt.messages, completion.text, [(_shown(*key),) for key, _ in own])
            for index, own in asked.items()
            for completion in (pairs[index].first, pairs[index].second)
        ]
        scores = run.score_texts(texts)
        right: dict[Asked, list[bool]] = {}
        for number, own in enumerate(asked.values()):
            for (key, first), one, two in zip(own, scores[2 * number], scores[2 * number + 1], strict=True):
                right.setdefault(key, []).append(one != two and (one > two) == first)
        values: dict[str, Any] = {}
        for (name, polarity, wording), own_right in sorted(right.items()):
            values.setdefault(name, {}).setdefault(polarity, {})[wording] = _rate(own_right)
        return values


def _rate(right: Sequence[bool]) -> dict[str, float]:
    found = rate(sum(right), len(right))
    return {"value": found.value, "n": found.n}


def _better(name: str, pair: Pair) -> int:
    known = PROMPTS_BY_TEXT[pair.prompt.text]
    return prefers(name, read(known, pair.first.text), read(known, pair.second.text))


def _shown(name: str, polarity: str, wording: str) -> ShownPrinciple:
    negated = polarity == "negated"
    return ShownPrinciple(name, PRINCIPLES[name].text(negated, int(wording) - 1), negated)


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    """The evaluator `evidence-wide`."""
    yield Component("evidence-wide", WideTexts, "the reward model and the judge under each principle of the wide world")
