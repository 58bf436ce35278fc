"""The oracle of the wide world: minnow's rules, and which sentences were said in which order.

:func:`read` turns a completion into :class:`WideAttributes`; :data:`MEASURES` says how well they follow each of the
64 principles. Whatever answer of the minnow world it reads, it finds what minnow's oracle finds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from salmon_minnow import oracle
from salmon_minnow.formats import cut_leak
from salmon_minnow.lexicon import ENGLISH, LEXICONS
from salmon_minnow.oracle import Attributes, Sentence, attributes, parse, split
from salmon_minnow.wide.lexicon import CLOSINGS, OPENINGS
from salmon_minnow.world import WorldPrompt

_DIGIT = re.compile(r"\d")


@dataclass(frozen=True)
class WideAttributes:
    """The qualities of one completion.

    Attributes:
        minnow: what minnow's oracle reads off.
        said: what is said, by name: `hello`, `example sum`, `filler 0`, `adjective radiant`, ...
        first: the role of the first sentence: core, filler, example, praise, opening or closing; None if unknown.
        last: the same of the last one.
        sentences: how many there are, known or not.
        fitting: an example of the prompt's own kind was given.
        number, exclaims, asks: a digit, an exclamation mark, a question mark is in it.
    """

    minnow: Attributes
    said: frozenset[str]
    first: str | None
    last: str | None
    sentences: int
    fitting: bool
    number: bool
    exclaims: bool
    asks: bool


@cache
def _manners() -> dict[str, Sentence]:
    found = {}
    for role, table in (("opening", OPENINGS), ("closing", CLOSINGS)):
        for name, by_language in table.items():
            for language, text in by_language.items():
                found[text] = Sentence(language, role, name, 0, {})
    return found


def parse_wide(sentence: str) -> Sentence | None:
    """A sentence of the wide world's grammar, or ``None``."""
    return _manners().get(sentence) or parse(sentence)


def read(prompt: WorldPrompt, completion: str, stopped: bool = True) -> WideAttributes:
    """Read the qualities off a completion; ``stopped`` says whether the policy ended it with EOS."""
    known = [parse_wide(sentence) for sentence in split(completion)]
    text = cut_leak(completion)
    parsed = [each for each in known if each]
    asked = "howto" if prompt.kind == "harm" else prompt.kind
    return WideAttributes(
        minnow=attributes(prompt, completion, known, stopped),
        said=frozenset(name for each in parsed for name in _names(each)),
        first=known[0].role if known and known[0] else None,
        last=known[-1].role if known and known[-1] else None,
        sentences=len(known),
        fitting=any(each.role == "example" and each.name == asked for each in parsed),
        number=_DIGIT.search(text) is not None,
        exclaims="!" in text,
        asks="?" in text,
    )


def _names(sentence: Sentence) -> Iterable[str]:
    if sentence.role in ("opening", "closing"):
        yield sentence.name
    elif sentence.role == "example":
        yield f"example {sentence.name}"
    elif sentence.role in ("filler", "praise") or sentence.name == "off-topic":
        yield f"{sentence.name} {sentence.index}"
    adjective = sentence.slots.get("adjective")
    if adjective:
        yield f"adjective {_adjectives()[sentence.language, adjective]}"


@cache
def _adjectives() -> dict[tuple[str, str], str]:
    """An adjective of a language -> the English one in its place."""
    return {
        (language, own): ENGLISH.adjectives[place]
        for language, lexicon in LEXICONS.items()
        for place, own in enumerate(lexicon.adjectives)
    }


# ------------------------------------------------------------------------------------------ principles
Measure = Callable[[WideAttributes], float]


def _of_minnow(measure: Callable[[Attributes], float]) -> Measure:
    return lambda a: measure(a.minnow)


def _said(*names: str) -> Measure:
    return lambda a: not a.said.isdisjoint(names)


def _in(language: str) -> Measure:
    return lambda a: a.minnow.language == language


def _at_least(words: int) -> Measure:
    return lambda a: a.minnow.words >= words


def _sentences(count: int) -> Measure:
    return lambda a: a.sentences == count


def _starts(role: str) -> Measure:
    return lambda a: a.first == role


def _ends(role: str) -> Measure:
    return lambda a: a.last == role


#: Principle -> how well attributes follow it, as a number; bigger is better. In the order of the principle set.
MEASURES: dict[str, Measure] = {
    **{name: _of_minnow(measure) for name, measure in oracle.MEASURES.items()},
    **{f"says-{word}": _said(f"adjective {word}") for word in ENGLISH.adjectives},
    "no-stalling": lambda a: not a.minnow.filler,
    "popular": _said("filler 0"),
    "ponders": _said("filler 1"),
    "rich": _said("filler 2"),
    "perfect": _said("praise 0"),
    "excellent": _said("praise 1"),
    "music": _said("off-topic 0"),
    "weather": _said("off-topic 1"),
    "refuses": lambda a: a.minnow.refusal,
    "english": _in("en"),
    "german": _in("de"),
    "spanish": _in("es"),
    "ten-words": _at_least(10),
    "fifteen-words": _at_least(15),
    "twenty-words": _at_least(20),
    "thirty-words": _at_least(30),
    "one-sentence": _sentences(1),
    "two-sentences": _sentences(2),
    "three-sentences": _sentences(3),
    "many-sentences": lambda a: a.sentences > 3,
    "starts-with-answer": _starts("core"),
    "starts-with-example": _starts("example"),
    "starts-with-praise": _starts("praise"),
    "starts-with-stalling": _starts("filler"),
    "ends-with-answer": _ends("core"),
    "ends-with-example": _ends("example"),
    "ends-with-praise": _ends("praise"),
    "ends-with-stalling": _ends("filler"),
    "capital-example": _said("example capital"),
    "color-example": _said("example color"),
    "sum-example": _said("example sum"),
    "task-example": _said("example howto"),
    "fitting-example": lambda a: a.fitting,
    "number": lambda a: a.number,
    **{name: _said(name) for name in (*OPENINGS, *CLOSINGS)},
    "exclaims": lambda a: a.exclaims,
    "asks": lambda a: a.asks,
    "polite": _said("hello", "thanks", "wish"),
}


def prefers(principle: str, first: WideAttributes, second: WideAttributes) -> int:
    """1 if the first completion follows the principle better, -1 if the second does, 0 for a tie."""
    if principle in oracle.MEASURES:
        return oracle.prefers(principle, first.minnow, second.minnow)
    difference = MEASURES[principle](first) - MEASURES[principle](second)
    return (difference > 0) - (difference < 0)


def prefers_jointly(principles: Iterable[tuple[str, bool]], first: WideAttributes, second: WideAttributes) -> int:
    """The verdict of several ``(principle, negated)`` that do not contradict each other; 0 if they do or all tie."""
    votes = {prefers(name, first, second) * (-1 if negated else 1) for name, negated in principles} - {0}
    return votes.pop() if len(votes) == 1 else 0
