"""A file plugin of the evidence: a judge with a position bias, prompts with parts not trained on, evaluators."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core import Component, hookimpl
from salmon_core.api import EvaluatedRun, Evaluator, JudgeContext, Metrics, Principle
from salmon_core.kit.statistics import clustered_mean, rate
from salmon_core.records import Judgment, Pair, Prompt, Rollout, ShownPrinciple
from salmon_core.rng import named_rng
from salmon_judge.self_judge import SelfJudge
from salmon_minnow.oracle import RATES, prefers, read
from salmon_minnow.principles import PRINCIPLES
from salmon_minnow.prompts import MinnowPrompts, as_prompt
from salmon_minnow.world import PROMPTS, PROMPTS_BY_TEXT

Polarity = Literal["positive", "negated"]


class LeaningJudge(SelfJudge):
    """The judge `self-judge`, to whose logits something is added: for what is shown first, for what says a filler."""

    class Options(SelfJudge.Options):
        """What a configuration may set."""

        bias: float = Field(0.0, description="logits for the completion shown first")
        filler: float = Field(0.0, description="logits for the completion with a filler, where only one has one")
        about: list[str] = Field([], description="principles of whose judgments `filler` is a part")

    options: Options

    def judge_each(self, items: Sequence[tuple[Pair, Sequence[Principle]]], context: JudgeContext) -> list[Judgment]:
        """Both scores are positive for completion 1, which is shown first in the order of `s12` only."""
        bias = self.options.bias
        said = super().judge_each(items, context)
        leans = {pair.id: self.options.filler * _fillers(pair) for pair, _ in items} if self.options.filler else {}
        added = [leans.get(each.pair_id, 0.0) if each.principle in self.options.about else 0.0 for each in said]
        return [
            replace(each, s12=each.s12 + bias + more, s21=each.s21 - bias + more)
            for each, more in zip(said, added, strict=True)
        ]


class PartOfPrompts(MinnowPrompts):
    """All held-out prompts of the world, and of those for training the selected kinds or languages only."""

    def load(self) -> Iterator[Prompt]:
        """Yields prompts in a fixed order."""
        for each in PROMPTS:
            if each.held_out or self.selects(each):
                yield as_prompt(each)


class _Samples(BaseModel):
    model_config = ConfigDict(extra="forbid")

    samples: int = Field(8, ge=2, description="completions per held-out prompt")


class Texts(Evaluator):
    """The reward model under each text of the world, whatever it was trained on.

    Values: `alone`, right answers by principle, polarity and wording (1: as trained, 2: the other one), and `by_kind`
    and `by_language` over all principles in their first wording; `opposed`, of a principle and its opposite in one
    text, how often what the principle itself asks for wins, by which of the two is said first; `rivals`, of two
    principles in one text that prefer different completions, how often the first one wins, both ways round together.
    """

    needs = frozenset({"initial", "reward"})
    Options = _Samples
    #: pairs of a principle, or of two
    most = 120

    def __init__(self, options: _Samples) -> None:
        self._options = options

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """See the class."""
        pairs = [pair for pair in run.pairs(self._options.samples) if pair.prompt.text in PROMPTS_BY_TEXT]
        truth = {name: [_better(name, pair) for pair in pairs] for name in PRINCIPLES}
        asked: list[tuple[tuple[Any, ...], int, tuple[ShownPrinciple, ...], bool]] = []
        for name, own in truth.items():
            differing = [index for index, better in enumerate(own) if better]
            rng = named_rng(run.seed, "evidence-texts", name)
            for index in rng.sample(differing, min(self.most, len(differing))):
                first = own[index] > 0
                for wording in (0, 1):
                    for polarity in ("positive", "negated"):
                        key = ("alone", name, polarity, str(wording + 1))
                        shown = (_shown(name, polarity == "negated", wording),)
                        asked.append((key, index, shown, first == (polarity == "positive")))
                both = (_shown(name, False), _shown(name, True))
                asked.append((("opposed", name, "itself first"), index, both, first))
                asked.append((("opposed", name, "opposite first"), index, both[::-1], first))
        for name, own in truth.items():
            for other, its in truth.items():
                against = [index for index in range(len(pairs)) if own[index] * its[index] < 0]
                if name == other:
                    continue
                rng = named_rng(run.seed, "evidence-texts", *sorted((name, other)))  # the same pairs both ways round
                for index in rng.sample(against, min(self.most // 2, len(against))):
                    two = (_shown(name, False), _shown(other, False))
                    asked.append((("rivals", name, other), index, two, own[index] > 0))
                    asked.append((("rivals", name, other), index, two[::-1], own[index] > 0))
        return Metrics("evidence-texts", self._values(run, pairs, asked))

    def _values(self, run: EvaluatedRun, pairs: Sequence[Pair], asked: Sequence[Any]) -> dict[str, Any]:
        sets: dict[int, dict[tuple[ShownPrinciple, ...], None]] = {}
        for _, index, shown, _ in asked:
            sets.setdefault(index, {})[shown] = None
        order = {index: list(own) for index, own in sets.items()}
        texts = [
            (pairs[index].prompt.messages, completion.text, own)
            for index, own in order.items()
            for completion in (pairs[index].first, pairs[index].second)
        ]
        scores = run.score_texts(texts)
        margins = {
            (index, shown): scores[2 * number][place] - scores[2 * number + 1][place]
            for number, (index, own) in enumerate(order.items())
            for place, shown in enumerate(own)
        }
        right: dict[tuple[Any, ...], list[bool]] = {}
        for key, index, shown, first in asked:
            margin = margins[index, shown]
            one = margin != 0 and (margin > 0) == first
            right.setdefault(key, []).append(one)
            if key[0] == "alone" and key[3] == "1":
                prompt = PROMPTS_BY_TEXT[pairs[index].prompt.text]
                right.setdefault(("by_kind", prompt.kind), []).append(one)
                right.setdefault(("by_language", prompt.language), []).append(one)
        values: dict[str, Any] = {}
        for key, own in sorted(right.items()):
            at = values
            for part in key[:-1]:
                at = at.setdefault(part, {})
            found = rate(sum(own), len(own))
            at[key[-1]] = {"value": found.value, "n": found.n}
        return values


def _fillers(pair: Pair) -> int:
    """1 where only the first completion has a filler, -1 where only the second, else 0."""
    known = PROMPTS_BY_TEXT[pair.prompt.text]
    return int(read(known, pair.first.text).filler) - int(read(known, pair.second.text).filler)


def _better(name: str, pair: Pair) -> int:
    known = PROMPTS_BY_TEXT[pair.prompt.text]
    return prefers(name, read(known, pair.first.text), read(known, pair.second.text))


def _shown(name: str, negated: bool, wording: int = 0) -> ShownPrinciple:
    return ShownPrinciple(name, PRINCIPLES[name].text(negated, wording), negated)


class AllShown(Evaluator):
    """The reward model's mean score of answers, before and after RL, all rewarded principles in one text."""

    needs = frozenset({"initial", "policy", "reward"})
    Options = _Samples

    def __init__(self, options: _Samples) -> None:
        self._options = options

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Values `before` and `after`."""
        messages = {prompt.id: prompt.messages for prompt in run.prompts("test")}
        said = {
            "before": run.samples("initial", self._options.samples),
            "after": run.samples("policy", self._options.samples),
        }
        values = {}
        for when, own in said.items():
            scores = run.score_texts([(messages[each.prompt_id], each.text, [run.rewarded]) for each in own])
            values[when] = fmean(score for (score,) in scores)
        return Metrics("evidence-all-shown", values)


class BestOfN(Evaluator):
    """Of N answers of the initial policy the one that the reward prefers: its reward, and the oracle's rates.

    Principles are drawn for each prompt as `reward-shift` draws them. `samples` answers are divided into groups of N.
    """

    needs = frozenset({"initial", "reward"})

    class Options(_Samples):
        """What a configuration may set."""

        sizes: list[int] = Field([1, 2, 4, 8, 16, 32, 64], description="N; `samples` is a multiple of each")

    def __init__(self, options: Options) -> None:
        self._options = options

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Values, by N: `reward`, its component `rm`, and `rates`."""
        prompts = {prompt.id: prompt for prompt in run.prompts("test") if prompt.text in PROMPTS_BY_TEXT}
        shown = {each.id: run.shown(each, "reward-shift", each.id) for each in prompts.values()}
        said = [each for each in run.samples("initial", self._options.samples) if each.prompt_id in prompts]
        rollouts = [
            Rollout.from_text(
                prompts[each.prompt_id],
                each.text,
                n_tokens=each.n_tokens,
                principles=shown[each.prompt_id],
                completion_ids=each.token_ids,
                stopped=each.stopped,
                rollout_index=2**62,
            )
            for each in said
        ]
        scored: dict[str, list[tuple[float, float, Any]]] = {}
        for sample, breakdown in zip(said, run.score(rollouts), strict=True):
            read_off = read(PROMPTS_BY_TEXT[prompts[sample.prompt_id].text], sample.text, sample.stopped)
            own = (breakdown.total, breakdown.raw.get("rm", 0.0), read_off)
            scored.setdefault(sample.prompt_id, []).append(own)
        values: dict[str, Any] = {}
        for size in self._options.sizes:
            best = {
                prompt: [max(own[at : at + size], key=lambda one: one[0]) for at in range(0, len(own), size)]
                for prompt, own in scored.items()
            }

            def mean(value: Any, best: Any = best, size: int = size) -> float:
                rng = named_rng(run.seed, "evidence-best-of-n", size)
                return clustered_mean({key: [value(one) for one in own] for key, own in best.items()}, rng).value

            values[str(size)] = {
                "reward": mean(lambda one: one[0]),
                "rm": mean(lambda one: one[1]),
                "rates": {name: mean(lambda one, name=name: float(getattr(one[2], name))) for name in RATES},
            }
        return Metrics("evidence-best-of-n", {"by_n": values})


@hookimpl
def salmon_judges() -> Iterable[Component]:
    """The judge `leaning`."""
    yield Component("leaning", LeaningJudge, "self-judge with a bias for what is shown first")


@hookimpl
def salmon_prompts() -> Iterable[Component]:
    """The prompts `minnow-part`."""
    yield Component("minnow-part", PartOfPrompts, "the minnow world's prompts, some kinds or languages not trained on")


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    """The evaluators."""
    yield Component("evidence-texts", Texts, "the reward model under each text of the world")
    yield Component("evidence-all-shown", AllShown, "the reward model's score under all rewarded principles")
    yield Component("evidence-best-of-n", BestOfN, "the best of N answers by the reward")
