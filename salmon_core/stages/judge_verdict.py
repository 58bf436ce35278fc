"""Whether a judge can be believed: what it does beyond chance, principle by principle, with intervals.

A judge that goes by position, or by anything but the principle, fills a run with noise that looks like preferences.
Four questions, each against what a judge that knows nothing would do:

- do the scores of its two orders go together?
- does it turn round when it is asked by the negated principle?
- does it stay when the question is put in other words?
- is it right on pairs whose answer is known (`judge.gold`)?

The first three are rank correlations of scores, not shares of signs: on most pairs neither answer follows a principle
better, and what counts is what a judge says where it says much. A bias that adds the same to whatever is shown first
does not touch them. Scores are means of both orders, whatever `judge.orders` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from salmon_core.kit.statistics import clustered_rate, correlation
from salmon_core.records import FEW, Estimate, Judgment, Pair

Verdict = Literal["good", "unclear", "backwards", "too few"]
#: by pair, what is said of it under each principle
Said = Mapping[tuple[str, str], Judgment]


@dataclass(frozen=True)
class Evidence:
    """What is known of a judge, under one principle or under all.

    Attributes:
        agreement: share of pairs on which both orders prefer the same completion; ties of the judge left out. Only
            those make rows where `judge.orders` is `agree`.
        first_shown: share of orders that prefer what is shown first; 0.5 without bias.
        orders: rank correlation of the two orders' scores; 0 by chance.
        turns_round: minus the rank correlation of the scores with those under the negated principle; 0 by chance.
        stays: rank correlation of the scores with those in other words; 0 by chance.
        right: share of known answers that it gives; 0.5 by chance.
        answers: that its judgments are made of, where it counts them.
        unread: of them, those that were no verdict, or missing.
    """

    agreement: Estimate
    first_shown: Estimate
    orders: Estimate
    turns_round: Estimate | None = None
    stays: Estimate | None = None
    right: Estimate | None = None
    answers: int = 0
    unread: int = 0

    @property
    def verdict(self) -> Verdict:
        """Known answers decide where there are enough; else both orders and the negated principle have to speak for it.

        `backwards`: under the negated principle it mostly says the same, or it mostly gives the wrong answer.
        """
        if self.right is not None and self.right.n >= FEW:
            return _against(0.5, self.right)
        if self.orders.n < FEW:
            return "too few"
        if self.turns_round is not None and self.turns_round.n >= FEW:
            turning = _against(0.0, self.turns_round)
            if turning != "good":
                return turning
        return "good" if self.orders.low > 0 else "unclear"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"verdict": self.verdict}


def _against(chance: float, found: Estimate) -> Verdict:
    if found.low > chance:
        return "good"
    return "backwards" if found.high < chance else "unclear"


@dataclass(frozen=True)
class Answers:
    """What a judge said.

    Attributes:
        said: of the run's pairs.
        negated: of some of them, by the negated principle.
        reworded: of some of them, in other words.
        gold: of pairs with known answers; (pair, principle) -> the judgment, and whether the first is better.
    """

    said: Said
    negated: Said = field(default_factory=dict)
    reworded: Said = field(default_factory=dict)
    gold: Mapping[tuple[str, str], tuple[Judgment, bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgeVerdict:
    """Attributes:
    whole: over all principles.
    principles: by name, in order.
    """

    whole: Evidence
    principles: Mapping[str, Evidence]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        each = {name: evidence.to_json() for name, evidence in self.principles.items()}
        return {"whole": self.whole.to_json(), "principles": each}

    @property
    def weak(self) -> tuple[str, ...]:
        """Principles by which it cannot be told from chance, or goes backwards."""
        return tuple(name for name, own in self.principles.items() if own.verdict in ("unclear", "backwards"))


def judge_verdict(answers: Answers, pairs: Iterable[Pair], principles: Sequence[str]) -> JudgeVerdict:
    """The verdict on a judge.

    Args:
        pairs: all that were judged, known answers too; samples of one prompt count as one where doubt is measured.
    """
    prompts = {pair.id: pair.prompt.id for pair in pairs}

    def evidence(names: Sequence[str]) -> Evidence:
        return _Counting(answers, prompts, names).evidence()

    return JudgeVerdict(evidence(principles), {name: evidence([name]) for name in principles})


class _Counting:
    """Counts for some principles taken together."""

    def __init__(self, answers: Answers, prompts: Mapping[str, str], names: Sequence[str]):
        self._answers, self._prompts, self._names = answers, prompts, frozenset(names)

    def evidence(self) -> Evidence:
        said = [judgment for (_, name), judgment in self._answers.said.items() if name in self._names]
        told = [each for each in said if not each.tie and each.s12 and each.s21]
        shown = [(each.pair_id, sign) for each in told for sign in (each.s12 > 0, each.s21 < 0)]
        gold = [own for (_, name), own in self._answers.gold.items() if name in self._names]
        right = [(judgment.pair_id, _half(both_orders(judgment) * (1 if first else -1))) for judgment, first in gold]
        return Evidence(
            agreement=self._rate((each.pair_id, each.consistent) for each in told),
            first_shown=self._rate(shown),
            orders=self._correlated((each, (each.s12, each.s21)) for each in said),
            turns_round=self._compared(self._answers.negated, sign=-1),
            stays=self._compared(self._answers.reworded, sign=1),
            right=self._rate(right) if right else None,
            answers=sum(each.answers for each in said),
            unread=sum(each.unread for each in said),
        )

    def _compared(self, other: Said, *, sign: int) -> Estimate | None:
        """How the scores go together with others; `sign` -1 turns those round."""
        known = [(self._answers.said[key], each) for key, each in other.items() if key in self._answers.said]
        known = [pair for pair in known if pair[0].principle in self._names]
        if not known:
            return None
        return self._correlated((plain, (both_orders(plain), sign * both_orders(each))) for plain, each in known)

    def _correlated(self, values: Iterable[tuple[Judgment, tuple[float, float]]]) -> Estimate:
        """Averaged over principles."""
        groups: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for judgment, both in values:
            group = groups.setdefault(judgment.principle, {})
            group.setdefault(self._prompts[judgment.pair_id], []).append(both)
        return correlation(list(groups.values()))

    def _rate(self, values: Iterable[tuple[str, float]]) -> Estimate:
        by_prompt: dict[str, list[float]] = {}
        for pair, value in values:
            by_prompt.setdefault(self._prompts[pair], []).append(float(value))
        return clustered_rate(by_prompt)


def both_orders(judgment: Judgment) -> float:
    """What its two orders say together, whether they agree or not; 0 of a tie."""
    return 0.0 if judgment.tie else judgment.s12 + judgment.s21


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _half(value: float) -> float:
    """1 above 0, 0 below; of no answer a half."""
    return 0.5 + 0.5 * _sign(value)
