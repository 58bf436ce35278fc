"""A world in which answers show their qualities in marks, and reward models that are rules: what is right is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from salmon_card.items import Item, Source
from salmon_card.scores import Shown, Text
from salmon_core.api import Principle
from salmon_core.records import Message

#: quality -> the mark that shows it
MARKS = {"kind": "k", "plain": "p", "warm": "w", "exact": "x"}
PRINCIPLES = tuple(
    Principle(name, f"The answer is {name}.", negated=f"The answer is not {name}.") for name in MARKS if name != "exact"
)
UNSEEN = Principle("exact", "The answer is exact.", negated="The answer is not exact.")
#: (answer, principles shown) -> score
Rule = Callable[[str, Shown], float]


class RuleModel:
    """Asked like a reward model; counts what it was asked."""

    def __init__(self, rule: Rule):
        self.rule, self.calls, self.texts = rule, 0, 0

    def score_texts(self, texts: Sequence[Text]) -> list[list[float]]:
        self.calls += 1
        self.texts += sum(len(sets) for *_, sets in texts)
        return [[self.rule(answer, shown) for shown in sets] for _, answer, sets in texts]


def quality(answer: str, name: str) -> float:
    """How often the mark stands there; the words of its name, in any wording, say which."""
    return float(answer.count(MARKS[name]))


def named(text: str) -> tuple[str, float]:
    """Which quality a principle's text asks for, and whether for more (1) or less (-1); of others none."""
    name = next((each for each in MARKS if each in text), "")
    return name, -1.0 if " not " in text else 1.0


def sound(answer: str, shown: Shown) -> float:
    """Reads each principle, in any words, and adds."""
    total = 0.0
    for each in shown:
        name, sign = named(each.text)
        total += 4 * sign * quality(answer, name) if name else 0.0
    return total


def ignoring(answer: str, shown: Shown) -> float:
    """Whatever is shown: more of everything is better."""
    return 4 * sum(quality(answer, name) for name in MARKS)


def deaf(answer: str, shown: Shown) -> float:
    """Does not read `not`."""
    return 4 * sum(quality(answer, name) for name in (named(each.text)[0] for each in shown) if name)


def long(answer: str, shown: Shown) -> float:
    """Likes it long."""
    return float(len(answer))


def first(answer: str, shown: Shown) -> float:
    """Reads the first principle alone."""
    return sound(answer, shown[:1])


def by_heart(answer: str, shown: Shown) -> float:
    """Knows the words of training and no others."""
    known = {text for each in PRINCIPLES for text in (each.text, each.negated)}
    return sound(answer, tuple(each for each in shown if each.text in known))


def source(prompts: int, each: int = 3, seed: int = 1) -> Source:
    """Pairs whose answers differ at random in each quality, and in length by filling that means nothing."""
    rng, items = Random(seed), []
    for number in range(prompts):
        messages: tuple[Message, ...] = ({"role": "user", "content": f"question {number}"},)
        for _ in range(each):
            answers = [_answer(rng), _answer(rng)]
            truth = {name: quality(answers[0], name) - quality(answers[1], name) for name in MARKS}
            items.append(Item(f"p{number}", messages, *answers, truth))
    return Source(tuple(items), "the marks", False)


def _answer(rng: Random) -> str:
    marks = "".join(mark for mark in MARKS.values() if rng.random() < 0.5)
    return marks + "." * (1 + int(rng.random() * 40))
