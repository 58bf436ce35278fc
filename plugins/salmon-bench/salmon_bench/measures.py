"""What can be measured of an answer: pure functions of (answer, prompt), each a finite number.

Tense, person and language are read off closed lists of words: of a text without any of them nothing is said. That is
enough to be right about texts that clearly are one or the other, and rules leave out what lies between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from itertools import pairwise

from salmon_bench import text as of
from salmon_bench.text import listed

#: (answer, prompt) -> value
Measure = Callable[[str, str], float]

_FUNCTION_WORDS = {
    "en": listed("the a an and or of to in is are was it that this you with for on as at be not by from they we your"),
    "de": listed(
        "der die das ein eine und oder von zu ist sind war es dass nicht mit für auf im den dem man wird sich sie wenn"
        " bei nach aus"
    ),
    "fr": listed(
        "le la les un une et ou de du des est sont il elle que ne pas avec pour sur dans en au aux se vous ce qui"
    ),
    "es": listed("el la los las un una y o de del es son que no con para por en al se su lo usted como más"),
}
_FIRST = ("i", "me", "my", "mine", "myself", "i'm", "i've", "i'd", "i'll")
_SECOND = ("you", "your", "yours", "yourself", "you're", "you've", "you'd", "you'll")
_WE = ("we", "us", "our", "ours", "ourselves", "we're", "we've", "we'd", "we'll")
_THEY = ("they", "them", "their", "theirs", "themselves", "they're", "they've", "they'd", "they'll")
_PAST = listed(
    "was were had did went got made took kept put came saw gave found told thought left felt began wrote ran sat"
    " brought bought built held knew said slept sent spent stood taught won wore grew drew sang rose fell"
)
_PRESENT = listed("is are am has have do does can")
_FUTURE = ("will", "won't", "shall", "i'll", "you'll", "we'll", "they'll", "it'll", "he'll", "she'll")
#: end in -ed and are no past of a verb, or seldom
_NO_PAST = {"need", "red", "bed", "seed", "feed", "speed", "indeed", "shed", "weed", "used", "hundred", "bleed"}
_FILLERS = ("very", "really", "just", "quite", "actually", "basically", "simply", "literally")
_HEDGES = ("maybe", "perhaps", "possibly", "probably", "might", "may", "could", "seems", "likely")
_IRREGULAR_CONTRACTIONS = re.compile(
    r"\b\w+(?:n['’]t|['’](?:re|ve|ll|d|m))\b|\b(?:it|that|there|what|here)['’]s\b", re.I
)
_NUMBER_WORDS = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand"
)


def counts(pattern: str, flags: int = 0) -> Measure:
    """How often a pattern stands in the answer."""
    compiled = re.compile(pattern, flags)
    return lambda answer, prompt: float(len(compiled.findall(answer)))


def any_of(vocabulary: Collection[str]) -> Measure:
    """How many words of the answer are among these."""
    known = frozenset(vocabulary)
    return lambda answer, prompt: float(sum(word in known for word in of.words(answer)))


def words(answer: str, prompt: str) -> float:
    """How many there are."""
    return float(len(of.words(answer)))


def characters(answer: str, prompt: str) -> float:
    """Without those around the answer."""
    return float(len(answer.strip()))


def sentences(answer: str, prompt: str) -> float:
    """How many there are."""
    return float(len(of.sentences(answer)))


def longest_sentence(answer: str, prompt: str) -> float:
    """Its words."""
    return float(max((len(of.words(each)) for each in of.sentences(answer)), default=0))


def first_sentence(answer: str, prompt: str) -> float:
    """Its words."""
    return float(next((len(of.words(each)) for each in of.sentences(answer)), 0))


def paragraphs(answer: str, prompt: str) -> float:
    """How many there are."""
    return float(len(of.paragraphs(answer)))


def longest_word(answer: str, prompt: str) -> float:
    """Its letters."""
    return float(max(map(len, of.words(answer)), default=0))


def upper_case(answer: str, prompt: str) -> float:
    """Letters in upper case."""
    return float(sum(each.isupper() for each in answer))


def quoted(answer: str, prompt: str) -> float:
    """1 where the whole answer stands in double quotation marks."""
    text = answer.strip()
    return float(len(text) > 2 and text[0] in '"“' and text[-1] in '"”')


def ends_as_question(answer: str, prompt: str) -> float:
    """1 where the last character is a question mark."""
    return float(answer.rstrip().endswith("?"))


def ends_in_period(answer: str, prompt: str) -> float:
    """The share of sentences that end with a full stop."""
    found = of.sentences(answer)
    return sum(each.rstrip("\"')*").endswith(".") for each in found) / len(found) if found else 0.0


def heading(answer: str, prompt: str) -> float:
    """1 where the first line is a heading of Markdown."""
    return float(bool(re.match(r"\s*#{1,6} +\S", answer)))


def title(answer: str, prompt: str) -> float:
    """1 where the first of several lines ends with a colon."""
    found = of.lines(answer)
    return float(len(found) > 1 and found[0].endswith(":"))


def code_block(answer: str, prompt: str) -> float:
    """Blocks between lines of three backticks."""
    return float(sum(line.startswith("```") for line in of.lines(answer)) // 2)


def bullets(answer: str, prompt: str) -> float:
    """Lines that begin with a bullet."""
    return float(of.bullets(answer))


def numbered(answer: str, prompt: str) -> float:
    """The length of the numbered list."""
    return float(of.numbered(answer))


def list_items(answer: str, prompt: str) -> float:
    """Of lists of either kind."""
    return float(len(of.items(answer)))


def longest_item(answer: str, prompt: str) -> float:
    """Its words; 0 where there is no list."""
    return float(max((len(of.words(each)) for each in of.items(answer)), default=0))


def item_beginnings(answer: str, prompt: str) -> float:
    """How many items begin with the word of another; -1 of fewer than two."""
    first = [of.words(each)[0] for each in of.items(answer) if of.words(each)]
    return float(len(first) - len(set(first))) if len(first) > 1 else -1.0


def language(code: str) -> Measure:
    """How much more of its function words stand there than of any other of the four languages, as a share of words."""

    def lead(answer: str, prompt: str) -> float:
        found = of.words(answer)
        if not found:
            return 0.0
        share = {name: sum(word in known for word in found) / len(found) for name, known in _FUNCTION_WORDS.items()}
        return share[code] - max(value for name, value in share.items() if name != code)

    return lead


first_person = any_of(_FIRST)
second_person = any_of(_SECOND)
we_form = any_of(_WE)
they_form = any_of(_THEY)
persons = any_of((*_FIRST, *_SECOND, *_WE))
fillers = any_of(_FILLERS)
hedges = any_of(_HEDGES)
contractions = counts(_IRREGULAR_CONTRACTIONS.pattern, re.IGNORECASE)


def tense(which: int) -> Measure:
    """The share of past (0), present (1) or future (2) among the words that show a tense; -1 where none does."""

    def share(answer: str, prompt: str) -> float:
        found = [0, 0, 0]
        for word in of.words(answer):
            if word in _FUTURE:
                found[2] += 1
            elif word in _PRESENT or (word.endswith("n't") and word[:-3] in ("do", "does", "is", "are")):
                found[1] += 1
            elif word in _PAST or (word.endswith("ed") and word not in _NO_PAST):
                found[0] += 1
        return found[which] / sum(found) if sum(found) else -1.0

    return share


def same_beginnings(answer: str, prompt: str) -> float:
    """How many sentences begin with the word of another; -1 of fewer than two."""
    first = [of.words(each)[0] for each in of.sentences(answer)]
    return float(len(first) - len(set(first))) if len(first) > 1 else -1.0


def begins_with(*beginnings: str) -> Measure:
    """1 where the answer begins with one of these words."""
    return lambda answer, prompt: float(next(iter(of.words(answer)), "") in beginnings)


def last_begins_with(beginning: str) -> Measure:
    """1 where the last sentence begins so."""
    return lambda answer, prompt: float(bool(last := of.sentences(answer)) and last[-1].lower().startswith(beginning))


def repeats(answer: str, prompt: str) -> float:
    """1 where the last sentence is the first once more; -1 of fewer than two."""
    found = [of.words(each) for each in of.sentences(answer)]
    return float(found[0] == found[-1]) if len(found) > 1 else -1.0


def question_words(answer: str, prompt: str) -> float:
    """The share of the prompt's longer words that the first sentence says again."""
    wanted = {word for word in of.words(prompt) if len(word) > 3}
    said = set(of.words(next(iter(of.sentences(answer)), "")))
    return len(wanted & said) / len(wanted) if wanted else 0.0


def digits(answer: str, prompt: str) -> float:
    """How many there are."""
    return float(sum(each.isdigit() and each.isascii() for each in answer))


def number_words(answer: str, prompt: str) -> float:
    """Numbers in words, without `one`; -100 where there is a digit as well."""
    found = sum(part in _NUMBER_WORDS and part != "one" for word in of.words(answer) for part in word.split("-"))
    return -100.0 if digits(answer, prompt) else float(found)


def says_the_sum(answer: str, prompt: str) -> float:
    """1 where the sum of the prompt's numbers is the last number of the answer; -1 of a prompt with fewer than two."""
    asked, said = of.numbers(prompt), of.numbers(answer)
    return -1.0 if len(asked) < 2 else float(bool(said) and said[-1] == sum(asked))


def right_sums(answer: str, prompt: str) -> float:
    """The share of sums that are right among those that are written out; -1 where none is."""
    found = of.sums(answer)
    return sum(right for _, right in found) / len(found) if found else -1.0


def written_sums(answer: str, prompt: str) -> float:
    """How many there are, right or wrong."""
    return float(len(of.sums(answer)))


def odd_numbers(answer: str, prompt: str) -> float:
    """How many there are; -1 where there is no number."""
    found = of.numbers(answer)
    return float(sum(each % 2 for each in found)) if found else -1.0


def falling_numbers(answer: str, prompt: str) -> float:
    """How often a number is followed by a smaller one, or by itself; -1 of fewer than three."""
    found = of.numbers(answer)
    return float(sum(b <= a for a, b in pairwise(found))) if len(found) > 2 else -1.0


def largest_number(answer: str, prompt: str) -> float:
    """-1 where there is none."""
    return float(max(of.numbers(answer), default=-1))
