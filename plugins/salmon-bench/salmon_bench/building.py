"""From pairs of answers to rows: each principle, its negation and its other words; sets; conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from salmon_bench.rows import Kind, Row, Shown, swapped
from salmon_bench.rules import BY_NAME, RULES
from salmon_core.rng import named_rng, shuffled

#: weights of the heavier of two principles that disagree, the other's being 1
WEIGHTS = (2.0, 4.0)
#: sizes of sets
SIZES = (2, 3, 4)


@dataclass(frozen=True)
class Wordings:
    """What a principle is shown as.

    Attributes:
        texts: its own text first.
    """

    family: str
    texts: tuple[str, ...]
    negated: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two answers to a prompt, and what checkers say of them.

    Attributes:
        right: by principle, the answer that follows it where the other does not.
        about: the principle that it was made for; empty: any.
    """

    id: str
    prompt: str
    answers: tuple[str, str]
    writer: str
    right: Mapping[str, int]
    measured: Mapping[str, tuple[float, float]]
    about: str = ""
    trap: bool = False
    words: Mapping[str, Wordings] = field(default_factory=dict, compare=False)


OWN = {rule.name: Wordings(rule.family, rule.texts, (rule.negated,)) for rule in RULES}


def checked(
    pair_id: str, prompt: str, answers: tuple[str, str], writer: str, about: str = "", trap: bool = False
) -> Pair:
    """A pair with what every rule says of it."""
    right, measured = {}, {}
    for rule in RULES:
        if (which := rule.right(answers, prompt)) is not None:
            right[rule.name] = which
            measured[rule.name] = (rule.measured(answers[0], prompt), rule.measured(answers[1], prompt))
    return Pair(pair_id, prompt, answers, writer, right, measured, about, trap, OWN)


def singles(pair: Pair, name: str) -> Iterator[Row]:
    """A principle in its own words, negated, and in its other words."""
    words, right = pair.words[name], pair.right[name]
    shown: list[tuple[Kind, Shown, int]] = [("own", Shown(name, words.texts[0]), right)]
    if words.negated:
        shown.append(("negated", Shown(name, words.negated[0], True), 1 - right))
    shown += [("reworded", Shown(name, text), right) for text in words.texts[1:]]
    swap = named_rng(0, "place", pair.id, name).random() < 0.5
    for number, (kind, principle, answer) in enumerate(shown):
        row = _row(pair, f"{pair.id}/{name}/{kind}-{number}", kind, words.family, (principle,), answer)
        yield swapped(row) if swap else row


def sets(pairs: Sequence[Pair], *, seed: int, each: int) -> Iterator[Row]:
    """Principles, some of them negated, by all of which the same answer is right; `each` of every size."""
    for size in SIZES:
        rng = named_rng(seed, "sets", size)
        usable = [pair for pair in shuffled(pairs, rng) if len(_polar(pair)) >= size]
        for number, pair in enumerate(_spread(usable, each)):
            right = number % 2
            names = shuffled(_polar(pair), rng)[:size]
            shown = tuple(_shown(pair, name, right) for name in names)
            row = _row(pair, f"{pair.id}/set-{size}", "set", "sets", shown, right)
            yield swapped(row) if rng.random() < 0.5 else row


def conflicts(pairs: Sequence[Pair], *, seed: int, each: int) -> Iterator[Row]:
    """Two principles by which different answers are right; `each` of every weight, in both places alike."""
    for weight in WEIGHTS:
        rng = named_rng(seed, "conflicts", str(weight))
        usable = [pair for pair in shuffled(pairs, rng) if len(_polar(pair)) >= 2]
        for number, pair in enumerate(_spread(usable, each)):
            right = number % 2
            heavy, light = shuffled(_polar(pair), rng)[:2]
            shown = (_shown(pair, heavy, right, weight), _shown(pair, light, 1 - right))
            shown = shown if number % 4 < 2 else shown[::-1]
            row = _row(pair, f"{pair.id}/conflict-{weight:g}", "conflict", "conflicts", shown, right)
            yield swapped(row) if rng.random() < 0.5 else row


def answer_pairs(
    answers: Iterable[Mapping[str, str]], writer: str, *, seed: int, longest: int, each: int
) -> list[Pair]:
    """For each principle some pairs of a writer's answers to one prompt that tell it; the right one shorter in half.

    Args:
        longest: answers have at most so many characters.
        each: pairs for a principle, of different prompts.
    """
    by_prompt: dict[str, list[str]] = {}
    for row in answers:
        if len(row["answer"]) <= longest:
            by_prompt.setdefault(row["prompt"], []).append(row["answer"])
    found: list[Pair] = []
    for place, (prompt, own) in enumerate(by_prompt.items()):
        for one, two in combinations(range(len(own)), 2):
            found.append(checked(f"{writer}-{place}-{one}-{two}", prompt, (own[one], own[two]), writer))
    kept: dict[tuple[str, str], Pair] = {}
    for name in BY_NAME:
        telling = shuffled([pair for pair in found if name in pair.right], named_rng(seed, writer, name))
        used: set[str] = set()
        for wanted in (True, False):
            for pair in telling:
                if len(used) >= each // 2 * (2 - wanted) or pair.prompt in used:
                    continue
                right = pair.right[name]
                if (len(pair.answers[right]) < len(pair.answers[1 - right])) == wanted:
                    used.add(pair.prompt)
                    kept[pair.id, name] = replace(pair, about=name)
    return list(kept.values())


def _polar(pair: Pair) -> list[str]:
    """Principles that tell the two apart and have a negation."""
    return [name for name in pair.right if pair.words[name].negated]


def _shown(pair: Pair, name: str, right: int, weight: float = 1.0) -> Shown:
    """In the polarity by which that answer is right."""
    words, negated = pair.words[name], pair.right[name] != right
    return Shown(name, words.negated[0] if negated else words.texts[0], negated, weight)


def _spread(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """The first of them, of different prompts as long as there are any."""
    seen: set[str] = set()
    fresh: list[Pair] = []
    again: list[Pair] = []
    for pair in pairs:
        (again if pair.prompt in seen else fresh).append(pair)
        seen.add(pair.prompt)
    return [*fresh, *again][:count]


def _row(pair: Pair, row_id: str, kind: Kind, family: str, shown: tuple[Shown, ...], right: int) -> Row:
    measured = {each.name: pair.measured[each.name] for each in shown}
    trap = pair.trap and right == pair.right.get(pair.about)
    return Row(
        id=row_id,
        pair=f"{pair.id}/{shown[0].name}" if kind in ("own", "negated", "reworded") else row_id,
        kind=kind,
        family=family,
        prompt=pair.prompt,
        principles=shown,
        answers=pair.answers,
        right=right,
        writer=pair.writer,
        trap=trap,
        measured=measured,
    )
