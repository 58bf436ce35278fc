"""Whether a judge can be believed: what it does beyond chance, principle by principle, with intervals.

A judge that goes by position, or by anything but the principle, fills a run with noise that looks like preferences.
Four questions, each against what a judge that knows nothing would do:

- do the scores of its two orders go together?
- does it turn round when it is asked by the negated principle?
- does it stay when the question is put in other words?
- is it right on pairs whose answer is known (`judge.gold`)?

The first three are correlations of preferences (`salmon_core.kit.statistics.preference_correlation`), not of signs and
not of ranks: on most pairs neither answer follows a principle better, a bias for a position decides the little that
is said there, and what counts is what a judge says where it says much. A bias that adds the same to whatever is shown
first does not touch them. Scores are means of both orders, whatever `judge.orders` says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from salmon_core.kit.statistics import ClusteredRate, clustered_rate, preference_correlation
from salmon_core.records import FEW, Estimate, Judgment, prompt_of

Verdict = Literal["good", "unclear", "backwards", "too few"]
#: the principles that prompts bring along, taken together: of one alone there is too little to say anything
PER_PROMPT = "(of the prompts)"
#: by pair, what is said of it under each principle
Said = Mapping[tuple[str, str], Judgment]


@dataclass(frozen=True)
class Evidence:
    """What is known of a judge, under one principle or under all.

    Attributes:
        agreement: share of pairs on which both orders prefer the same completion; ties of the judge left out. Only
            those make rows where `judge.orders` is `agree`.
        first_shown: share of orders that prefer what is shown first; 0.5 without bias.
        orders: correlation of what the two orders prefer; 0 by chance.
        turns_round: minus the correlation of what it prefers with that under the negated principle; 0 by chance.
        stays: correlation of what it prefers with that in other words; 0 by chance.
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
        said: of the run's pairs, those of a prompt after each other; gone through once.
        negated: of some of them, by the negated principle.
        reworded: of some of them, in other words.
        gold: of pairs with known answers; (pair, principle) -> the judgment, and whether the first is better.
    """

    said: Iterable[Judgment]
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


def judge_verdict(answers: Answers, principles: Sequence[str], *, share: float = 1.0) -> JudgeVerdict:
    """The verdict on a judge. Samples of one prompt count as one where doubt is measured.

    Args:
        principles: names of the set's. Those that prompts bring along are taken together, as `PER_PROMPT`.
        share: of the prompts that the correlation of the orders looks at, which ones by a hash of their id. For it all
            scores have to be held at once; everything else is counted as it comes.
    """
    names = frozenset(principles)
    whole, each = _Counting(), {name: _Counting() for name in principles}
    again = answers.negated.keys() | answers.reworded.keys()
    plain: dict[tuple[str, str], Judgment] = {}
    for judgment in answers.said:
        key = (judgment.pair_id, judgment.principle)
        if key in again:
            plain[key] = judgment
        group = judgment.principle if judgment.principle in names else PER_PROMPT
        prompt = prompt_of(judgment.pair_id)
        compared = share >= 1 or _place(prompt) < share
        whole.add(judgment, group, prompt, compared=compared)
        each.setdefault(group, _Counting()).add(judgment, group, prompt, compared=compared)

    def evidence(counting: _Counting, group: str | None) -> Evidence:
        return counting.evidence(_Asked(answers, plain, names, group))

    return JudgeVerdict(evidence(whole, None), {name: evidence(own, name) for name, own in each.items()})


def _place(prompt: str) -> float:
    """From 0 to 1, the same whatever else there is."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8]) / 2**64


@dataclass(frozen=True)
class _Asked:
    """What was asked besides, under some of the principles.

    Attributes:
        plain: what was said of the same at first.
        names: of the set's principles.
        group: a principle, or `PER_PROMPT`; None: all.
    """

    answers: Answers
    plain: Said
    names: frozenset[str]
    group: str | None

    def _within(self, principle: str) -> bool:
        return self.group is None or self.group == (principle if principle in self.names else PER_PROMPT)

    def compared(self, other: Said, *, sign: int) -> Estimate | None:
        """How the scores go together with others; `sign` -1 turns those round."""
        known = [(self.plain[key], each) for key, each in other.items() if key in self.plain and self._within(key[1])]
        if not known:
            return None
        groups: Groups = {}
        for plain, each in known:
            group = plain.principle if plain.principle in self.names else PER_PROMPT
            _put(groups, group, prompt_of(plain.pair_id), (both_orders(plain) / 2, sign * both_orders(each) / 2))
        return preference_correlation(list(groups.values()))

    def right(self) -> Estimate | None:
        """The share of known answers that it gives."""
        by_prompt: dict[str, list[float]] = {}
        for (pair, name), (judgment, first) in self.answers.gold.items():
            if self._within(name):
                by_prompt.setdefault(prompt_of(pair), []).append(_half(both_orders(judgment) * (1 if first else -1)))
        return clustered_rate(by_prompt) if by_prompt else None


#: principle -> prompt -> what is compared
Groups = dict[str, dict[str, list[tuple[float, float]]]]


def _put(groups: Groups, group: str, prompt: str, both: tuple[float, float]) -> None:
    groups.setdefault(group, {}).setdefault(prompt, []).append(both)


class _Counting:
    """Counts for some principles taken together."""

    def __init__(self) -> None:
        self._agreement, self._first_shown = ClusteredRate(), ClusteredRate()
        self._orders: Groups = {}
        self._answers = self._unread = 0

    def add(self, judgment: Judgment, group: str, prompt: str, *, compared: bool) -> None:
        """One more; the next one is of the same prompt, or none after it is."""
        self._answers += judgment.answers
        self._unread += judgment.unread
        if compared:
            _put(self._orders, group, prompt, (judgment.s12, judgment.s21))
        if not judgment.tie and judgment.s12 and judgment.s21:
            self._agreement.add(prompt, judgment.consistent)
            self._first_shown.add(prompt, judgment.s12 > 0)
            self._first_shown.add(prompt, judgment.s21 < 0)

    def evidence(self, asked: _Asked) -> Evidence:
        return Evidence(
            agreement=self._agreement.estimate(),
            first_shown=self._first_shown.estimate(),
            orders=preference_correlation(list(self._orders.values())),
            turns_round=asked.compared(asked.answers.negated, sign=-1),
            stays=asked.compared(asked.answers.reworded, sign=1),
            right=asked.right(),
            answers=self._answers,
            unread=self._unread,
        )


def both_orders(judgment: Judgment) -> float:
    """What its two orders say together, whether they agree or not; 0 of a tie."""
    return 0.0 if judgment.tie else judgment.s12 + judgment.s21


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _half(value: float) -> float:
    """1 above 0, 0 below; of no answer a half."""
    return 0.5 + 0.5 * _sign(value)
