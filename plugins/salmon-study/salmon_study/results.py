"""What raters said, unsealed: wins of B over A by question and rater, and how far raters agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from statistics import median
from typing import Any, Literal

from salmon_core.kit.agreement import Alpha, krippendorff_alpha, pairwise_agreement
from salmon_core.kit.significance import ALPHA, benjamini_hochberg, clustered, difference_p, minimum_detectable
from salmon_core.kit.statistics import clustered_rate
from salmon_core.records import FEW, Estimate
from salmon_core.rng import named_rng
from salmon_study.ratings import PEOPLE, Rated, Rating
from salmon_study.task import OVERALL, Key, Party, Task

#: several questions, or raters, together
ALL = "all"
#: what became of a comparison, as the rate of wins of B counts it
WIN, TIE, LOSS = 1.0, 0.5, 0.0
_VALUES: Mapping[Party | Literal["tie"], float] = {"b": WIN, "tie": TIE, "a": LOSS}
#: the same as ranks: a tie lies between
_RANKS = {LOSS: 0, TIE: 1, WIN: 2}
#: below it Krippendorff advises not to conclude anything (Content Analysis, 2018, chapter 12)
_RELIABLE = 0.667
Verdict = Literal["B", "A", "no difference found", "too few"]


@dataclass(frozen=True)
class Tally:
    """Comparisons of B with A under one question.

    Attributes:
        question: a principle's name, `overall`, or `all` principles together.
        who: a rater, or `people`: all of them together.
        rate: of wins of B, a tie counted half; interval and `n` are of prompts.
        p: of no difference; `q` over the principles (Benjamini and Hochberg), else the same as `p`.
    """

    question: str
    who: str
    wins: int
    ties: int
    losses: int
    rate: Estimate
    p: float
    q: float
    verdict: Verdict


@dataclass(frozen=True)
class Agreement:
    """How far people agree under a question beyond chance; `tie` lies between `a` and `b` for the ordinal one."""

    question: str
    nominal: Alpha
    ordinal: Alpha


@dataclass(frozen=True)
class PairAgreement:
    """Two raters under all questions.

    Attributes:
        same: how often they said the same; interval over prompts.
        opposite: how often one said A and the other B.
        items: that both rated.
    """

    one: str
    other: str
    same: Estimate
    opposite: Estimate
    alpha: Alpha
    items: int


@dataclass(frozen=True)
class RaterState:
    """How far a rater is.

    Attributes:
        left: share of what was shown first among what was preferred; a half where nobody goes by the place. Its n is 0
            of a judge, who sees both orders.
        seconds: median for one rating; None of a judge.
    """

    rater: str
    kind: str
    about: str
    done: int
    of: int
    left: Estimate
    seconds: float | None


@dataclass(frozen=True)
class Results:
    """A study unsealed.

    Attributes:
        equal: prompts of `passed` to which both gave the same answer; nobody was asked about those.
        notes: what to know before the numbers are believed.
    """

    a: str
    b: str
    prompts: int
    items: int
    equal: int
    passed: int
    raters: tuple[RaterState, ...]
    tallies: tuple[Tally, ...]
    agreement: tuple[Agreement, ...]
    pairs: tuple[PairAgreement, ...]
    notes: tuple[str, ...]

    def tally(self, question: str, who: str = PEOPLE) -> Tally | None:
        """One of them."""
        return next((each for each in self.tallies if (each.question, each.who) == (question, who)), None)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def party_of(key: Key, rating: Rating) -> Party | Literal["tie"]:
    """Whom a rating prefers."""
    if rating.choice == "tie":
        return "tie"
    first = key.items[rating.item].first
    return first if rating.choice == "first" else ("b" if first == "a" else "a")


def power(prompts: int) -> str:
    """What so many prompts can show, in words: ties tell less, several raters more."""
    least = 0.5 + minimum_detectable(math.sqrt(0.25 / prompts))
    return f"with {prompts} prompts a rate of {least:.2f} is told from a half four times in five"


def too_few(prompts: int) -> str:
    """In words."""
    return f"{prompts} prompts are too few to tell anything: {FEW} are the least; {power(100)}"


def results_of(task: Task, key: Key, rated: Sequence[Rated]) -> Results:
    """All figures; those of nothing are left out."""
    said = {each.rater: _Said(task, key, each) for each in rated if each.ratings}
    people = [each.rater for each in rated if each.kind == "person" and each.ratings]
    judges = [each.rater for each in rated if each.kind == "judge" and each.ratings]
    groups: dict[str, list[str]] = {PEOPLE: people} if people else {}
    groups |= {name: [name] for name in (*people, *judges)}
    tallies: list[Tally] = []
    for who, names in groups.items():
        tallies += _tallies(task, who, [said[name] for name in names])
    agreement, pairs = list[Agreement](), list[PairAgreement]()
    if len(people) > 1:
        for question in _questions(task):
            by_metric = [_alpha([said[name] for name in people], question, metric) for metric in ("nominal", "ordinal")]
            agreement.append(Agreement(question, *by_metric))
    for one, other in combinations((*people, *judges), 2):
        if (found := _pair(said[one], said[other])) is not None:
            pairs.append(found)
    states = tuple(_state(task, each) for each in rated)
    prompts = len({origin.prompt for origin in key.items.values()})
    notes = tuple(_notes(states, prompts, key, agreement))
    return Results(
        key.a, key.b, prompts, len(task.items), key.equal, key.passed, states,
        tuple(tallies), tuple(agreement), tuple(pairs), notes,
    )  # fmt: skip


class _Said:
    """A rater's ratings as values of B over A, by (item, question)."""

    def __init__(self, task: Task, key: Key, rated: Rated):
        self.task, self.key, self.rater = task, key, rated.rater
        self.values = {rating.key: _VALUES[party_of(key, rating)] for rating in rated.ratings}

    def under(self, question: str) -> dict[tuple[str, str], float]:
        """Those of a question; of all principles, or of the one thing that is asked."""
        own = _members(self.task, question)
        return {key: value for key, value in self.values.items() if key[1] in own}

    def prompt(self, item: str) -> str:
        return self.key.items[item].prompt


def _questions(task: Task) -> list[str]:
    """All principles together, where there are several; then each question."""
    names = [question.name for question in task.questions]
    principles = [name for name in names if name != OVERALL]
    return [*([ALL] if len(principles) > 1 else []), *names]


def _members(task: Task, question: str) -> set[str]:
    if question != ALL:
        return {question}
    return {each.name for each in task.questions if each.name != OVERALL}


def _tallies(task: Task, who: str, said: Sequence[_Said]) -> list[Tally]:
    found: list[tuple[str, dict[str, list[float]]]] = []
    for question in _questions(task):
        by_prompt: dict[str, list[float]] = {}
        for each in said:
            for (item, _), value in each.under(question).items():
                by_prompt.setdefault(each.prompt(item), []).append(value)
        if by_prompt:
            found.append((question, by_prompt))
    p_values = {question: _p(by_prompt) for question, by_prompt in found}
    principles = [question for question, _ in found if question not in (ALL, OVERALL)]
    corrected = dict(zip(principles, benjamini_hochberg([p_values[each] for each in principles]), strict=True))
    return [_tally(question, who, own, p_values[question], corrected.get(question)) for question, own in found]


def _p(by_prompt: Mapping[str, Sequence[float]]) -> float:
    """Of no difference: of a rate of one half, with the error that it would have; prompts are what is independent."""
    found = clustered(by_prompt)
    return difference_p(found.mean, found.error_at(0.5), 0.5)


def _tally(question: str, who: str, by_prompt: Mapping[str, Sequence[float]], p: float, q: float | None) -> Tally:
    every = [value for own in by_prompt.values() for value in own]
    rate = clustered_rate(by_prompt)
    q = p if q is None else q
    verdict: Verdict = "no difference found"
    if rate.n < FEW:
        verdict = "too few"
    elif q < ALPHA:
        verdict = "B" if rate.value > 0.5 else "A"
    return Tally(question, who, every.count(WIN), every.count(TIE), every.count(LOSS), rate, p, q, verdict)


def _alpha(said: Sequence[_Said], question: str, metric: Literal["nominal", "ordinal"]) -> Alpha:
    units: dict[str, list[list[int]]] = {}
    by_rater = [each.under(question) for each in said]
    for key in sorted({key for own in by_rater for key in own}):
        ranks = [_RANKS[own[key]] for own in by_rater if key in own]
        units.setdefault(said[0].prompt(key[0]), []).append(ranks)
    names = sorted(each.rater for each in said)
    return krippendorff_alpha(units, len(_RANKS), named_rng(said[0].key.seed, "alpha", *names, question), metric)


def _pair(one: _Said, other: _Said) -> PairAgreement | None:
    both = sorted(one.values.keys() & other.values.keys())
    if not both:
        return None
    pairs: dict[str, list[tuple[int, int]]] = {}
    for key in both:
        pairs.setdefault(one.prompt(key[0]), []).append((_RANKS[one.values[key]], _RANKS[other.values[key]]))
    units = {prompt: [list(each) for each in own] for prompt, own in pairs.items()}
    rng = named_rng(one.key.seed, "alpha", one.rater, other.rater)
    alpha = krippendorff_alpha(units, len(_RANKS), rng, "ordinal")
    opposite = clustered_rate({prompt: [float(abs(a - b) == 2) for a, b in own] for prompt, own in pairs.items()})
    return PairAgreement(one.rater, other.rater, pairwise_agreement(pairs), opposite, alpha, len(both))


def _state(task: Task, rated: Rated) -> RaterState:
    took = [each.seconds for each in rated.ratings if each.seconds is not None]
    left: dict[str, list[float]] = {}
    for each in rated.ratings:
        if each.left and each.choice != "tie":
            left.setdefault(each.item, []).append(float(each.choice == each.left))
    return RaterState(
        rated.rater, rated.kind, rated.about, len(rated.ratings), task.steps, clustered_rate(left),
        median(took) if took else None,
    )  # fmt: skip


def _notes(states: Sequence[RaterState], prompts: int, key: Key, agreement: Sequence[Agreement]) -> Iterable[str]:
    people = [each for each in states if each.kind == "person" and each.done]
    if not any(each.done for each in states):
        yield "nobody has rated anything yet: salmon study rate"
        return
    if prompts < FEW:
        yield too_few(prompts)
    if behind := [each for each in states if each.done < each.of]:
        told = ", ".join(f"{each.rater} {each.done} of {each.of}" for each in behind)
        yield f"not all is rated: {told}; whoever sees results now should rate no more"
    if len(people) < 2:
        who = "one person" if people else "no person"
        yield f"{who} rated: how far people agree is not known; two or more are needed"
    for each in agreement:
        alpha = each.ordinal
        if alpha.units and alpha.value is None:
            yield f"{each.question}: all people said the same of everything, so there is no chance to compare with"
        elif alpha.value is not None and alpha.clusters < FEW:
            yield f"{each.question}: alpha is of {alpha.clusters} prompts, too few"
        elif alpha.value is not None and alpha.low < _RELIABLE:
            yield f"{each.question}: people may agree too little to conclude from: alpha may be below {_RELIABLE}"
    for state in states:
        if state.left.n >= FEW and not state.left.low <= 0.5 <= state.left.high:
            yield f"{state.rater} goes by the place: {state.left.value:.2f} of what they preferred was shown first"
    if key.equal:
        yield f"to {key.equal} of {key.passed} prompts both gave the same answer; nobody was asked about those"
