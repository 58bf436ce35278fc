"""The writer of templates: for each principle pairs that differ in it, and in as little else as can be.

Every maker gives texts of a topic, the first of which follows the principle. Whether that is so says the checker, not
the maker: pairs by which it cannot tell are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from salmon_bench.rules import RULES, Rule
from salmon_bench.text import listed
from salmon_bench.topics import SUMS, TOPICS, Topic
from salmon_core.rng import named_rng, shuffled

#: (prompt, answer that follows, answer that does not)
Made = tuple[str, str, str]
Maker = Callable[[Topic, Random], tuple[str, str]]


def pick(count: int, topic: Topic, rng: Random) -> list[str]:
    """Some of its facts, in their order."""
    chosen = set(shuffled(topic.facts, rng)[:count])
    return [fact for fact in topic.facts if fact in chosen]


def prose(topic: Topic, rng: Random, count: int = 3) -> str:
    """Facts in one paragraph."""
    return " ".join(pick(count, topic, rng))


def _changed(change: Callable[[str], str], count: int = 3) -> Maker:
    """The text as it is breaks the principle; changed, it follows it."""

    def make(topic: Topic, rng: Random) -> tuple[str, str]:
        text = prose(topic, rng, count)
        return change(text), text

    return make


def _broken(change: Callable[[str], str], count: int = 3) -> Maker:
    """The other way round."""

    def make(topic: Topic, rng: Random) -> tuple[str, str]:
        text = prose(topic, rng, count)
        return text, change(text)

    return make


def _clause(text: str, extra: str, where: int = -1) -> str:
    """With a further sentence at the end, or before the sentence of this number."""
    parts = text.replace(". ", ".\n").split("\n")
    parts.insert(len(parts) if where < 0 else where, extra)
    return " ".join(parts)


def _second(text: str) -> str:
    return text.split(". ", 1)[0] + "."


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _lengths(short: int, long: int) -> Maker:
    """The shorter one follows; the longer one goes on where it ends."""

    def make(topic: Topic, rng: Random) -> tuple[str, str]:
        facts = shuffled(topic.facts, rng)
        return " ".join(facts[:short]), " ".join(facts[:long])

    return make


def _reversed(make: Maker) -> Maker:
    return lambda topic, rng: make(topic, rng)[::-1]


def _imperative(topic: Topic, rng: Random, count: int) -> list[str]:
    chosen = set(shuffled(topic.actions, rng)[:count])
    return [f"{verb.capitalize()} {rest}" for verb, past, rest in topic.actions if (verb, past, rest) in chosen]


def _list(mark: Callable[[int], str], count: int = 3) -> Maker:
    def make(topic: Topic, rng: Random) -> tuple[str, str]:
        steps = _imperative(topic, rng, count)
        listed = "\n".join(f"{mark(number)}{step}." for number, step in enumerate(steps, 1))
        return listed, " ".join(f"{step}." for step in steps)

    return make


def _bullet(number: int) -> str:
    return "- "


def _three(topic: Topic, rng: Random) -> tuple[str, str]:
    steps = _imperative(topic, rng, 4)
    more = steps if rng.random() < 0.5 else steps[:2]
    return "\n".join(f"- {step}." for step in steps[:3]), "\n".join(f"- {step}." for step in more)


def _short_items(topic: Topic, rng: Random) -> tuple[str, str]:
    steps = [step for step in _imperative(topic, rng, 5) if len(step.split()) <= 6][:3]
    long = [*steps[:-1], f"{steps[-1]} and then look at it once more with care"]
    return "\n".join(f"- {step}." for step in steps), "\n".join(f"- {step}." for step in long)


def _alike(topic: Topic, rng: Random) -> tuple[str, str]:
    steps = _imperative(topic, rng, 3)
    return "\n".join(f"- First {_lower_first(step)}." for step in steps), "\n".join(f"- {step}." for step in steps)


def _in(code: str) -> Maker:
    def make(topic: Topic, rng: Random) -> tuple[str, str]:
        told = {"en": " ".join(pick(2, topic, rng)), **{each: " ".join(own) for each, own in topic.other.items()}}
        others = sorted(each for each in told if each != code)
        return told[code], told[others[int(rng.random() * len(others))]]

    return make


def _told(topic: Topic, rng: Random, subject: str, form: str = "present", count: int = 3) -> str:
    chosen = set(shuffled(topic.actions, rng)[:count])
    parts = []
    for verb, past, rest in topic.actions:
        if (verb, past, rest) in chosen:
            said = {"present": verb, "past": past, "future": f"will {verb}", "do": f"do {verb}"}[form]
            parts.append(f"{subject} {said} {rest.replace('until it is', 'until').replace('until they are', 'until')}.")
    return " ".join(parts)


def _person(subject: str) -> Maker:
    def make(topic: Topic, rng: Random) -> tuple[str, str]:
        others = [each for each in ("I", "You", "We", "They") if each != subject]
        seed = int(rng.random() * 2**32)
        told = [_told(topic, Random(seed), each) for each in (subject, others[int(rng.random() * 3)])]
        return told[0], told[1]

    return make


def _impersonal(topic: Topic, rng: Random) -> tuple[str, str]:
    seed = int(rng.random() * 2**32)
    subject = ("I", "You", "We")[int(rng.random() * 3)]
    return _told(topic, Random(seed), "They"), _told(topic, Random(seed), subject)


def _tense(form: str) -> Maker:
    def make(topic: Topic, rng: Random) -> tuple[str, str]:
        others = [each for each in ("past", "do", "future") if each != form]
        other = others[int(rng.random() * 2)]
        seed, subject = int(rng.random() * 2**32), ("We", "They")[int(rng.random() * 2)]
        return _told(topic, Random(seed), subject, form), _told(topic, Random(seed), subject, other)

    return make


def _contracted(text: str) -> str:
    return _clause(text, "That isn't hard.")


def _alike_beginnings(text: str) -> str:
    parts = text.replace(". ", ".\n").split("\n")
    return " ".join([parts[0], *(f"{parts[0].split()[0]} this as well: {_lower_first(each)}" for each in parts[1:])])


def _emphatic(text: str) -> str:
    words = text.split(" ")
    return " ".join([words[0], f"**{words[1]}**", *words[2:]])


def _long_word(text: str) -> str:
    return _clause(text, "That is straightforward.")


def _one_long(text: str) -> str:
    """The first two sentences as one."""
    first, _, rest = text.partition(". ")
    return f"{first} and {_lower_first(rest)}"


MAKERS: dict[str, Maker] = {
    "one-paragraph": _broken(lambda text: text.replace(". ", ".\n\n", 1)),
    "heading": lambda topic, rng: (lambda text: (f"# {topic.title}\n\n{text}", f"{topic.title}\n\n{text}"))(
        prose(topic, rng)
    ),
    "bold": _changed(_emphatic),
    "code-block": _changed(lambda text: f"```\n{text}\n```"),
    "lower-case": _changed(str.lower),
    "quoted": _changed(lambda text: f'"{text}"'),
    "title-line": lambda topic, rng: (lambda text: (f"{topic.title}:\n{text}", f"{topic.title}\n{text}"))(
        prose(topic, rng)
    ),
    "no-exclamation": _broken(lambda text: text[:-1] + "!"),
    "no-commas": _broken(lambda text: _clause(text, "All of that is simple, cheap and worth it.")),
    "parentheses": _changed(lambda text: text[:-1] + " (at all times)."),
    "at-most-25-words": _lengths(2, 5),
    "at-least-50-words": lambda topic, rng: (lambda text: (f"{text} {_told(topic, rng, 'We')}", text))(
        prose(topic, rng, 4)
    ),
    "at-most-150-characters": _lengths(2, 5),
    "at-most-two-sentences": _lengths(2, 3),
    "at-least-four-sentences": _reversed(_lengths(3, 4)),
    "short-sentences": _broken(_one_long),
    "short-first-sentence": _changed(lambda text: f"This is what helps. {text}", 2),
    "short-words": _broken(_long_word),
    "bulleted": _list(_bullet),
    "numbered": _list(lambda number: f"{number}. "),
    "three-items": _three,
    "short-items": _short_items,
    "items-begin-alike": _alike,
    "in-english": _in("en"),
    "in-german": _in("de"),
    "in-french": _in("fr"),
    "in-spanish": _in("es"),
    "first-person": _person("I"),
    "second-person": _person("You"),
    "we-form": _person("We"),
    "they-form": _person("They"),
    "impersonal": _impersonal,
    "past-tense": _tense("past"),
    "present-tense": _tense("do"),
    "future-tense": _tense("future"),
    "says-because": _changed(lambda text: text[:-1] + " because that is how it works."),
    "says-for-example": _changed(lambda text: _clause(text, "That is so in winter for example.")),
    "says-however": _changed(lambda text: _clause(text, "There is however no rule for all.")),
    "says-please": _changed(lambda text: _clause(text, "Keep that in mind please.")),
    "no-fillers": _broken(lambda text: _clause(text, "That is really quite simple.")),
    "no-hedges": _broken(lambda text: _clause(text, "That is perhaps the main point.")),
    "no-contractions": _broken(_contracted),
    "no-letter-z": _broken(lambda text: _clause(text, "Freezing is no help.")),
    "ends-as-question": _changed(lambda text: _clause(text, "Is that a help?")),
    "all-end-in-a-period": _broken(lambda text: _clause(text, "Is that hard?", 1)),
    "different-beginnings": _broken(_alike_beginnings),
    "begins-with-yes-or-no": _changed(lambda text: f"Yes: {_lower_first(text)}"),
    "ends-with-in-short": _changed(lambda text: _clause(text, "In short it is not hard.")),
    "ends-as-it-begins": _changed(lambda text: _clause(text, _second(text))),
    "takes-up-the-question": lambda topic, rng: (lambda text: (f"{topic.question[:-1]}: {text}", text))(
        prose(topic, rng)
    ),
    "has-semicolon": _changed(lambda text: text.replace(". ", "; ", 1)),
}


def _sum_texts(name: str, a: int, b: int, rng: Random) -> tuple[str, str]:
    total, wrong = a + b, a + b + (1, 2, 3, 10)[int(rng.random() * 4)]
    told = f"There are {a} and {b} to start with. Together that is"
    return {
        "right-result": (f"{told} {total}.", f"{told} {wrong}."),
        "right-sums": (f"The sum is {a} + {b} = {total}.", f"The sum is {a} + {b} = {wrong}."),
        "writes-the-sum": (f"The sum is {a} + {b} = {total}.", f"The sum of {a} and {b} is {total}."),
        "numbers-in-words": (f"The result is {_spelled(total)}.", f"The result is {total}."),
        "even-numbers": (f"The result is {total + total % 2}.", f"The result is {total + 1 - total % 2}."),
        "rising-numbers": (
            f"First come {min(a, b)} and then {max(a, b)}. Together that is {total}.",
            f"First come {max(a, b)} and then {min(a, b)}. Together that is {total}.",
        ),
        "below-fifty": (f"There are {min(total, 49)} of them.", f"There are {total + 50} of them."),
    }[name]


_ONES = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = listed("zero ten twenty thirty forty fifty sixty seventy eighty ninety")


def _spelled(number: int) -> str:
    """Below a hundred."""
    if number < 20:
        return _ONES[number]
    return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")


def dressed(text: str, topic: Topic, rng: Random) -> str:
    """The same, longer and better to look at, as people and reward models tend to like it."""
    more = [fact for fact in topic.facts if fact not in text]
    extra = " ".join(shuffled(more, rng)[:2])
    return f"{text} {extra} This is a careful answer to a good question.".replace("  ", " ")


def pairs(rule: Rule, *, seed: int, number: int) -> Iterator[tuple[Made, bool]]:
    """Pairs for a principle, and whether the one that breaks it was dressed up; those that its checker can tell.

    Args:
        number: tries, each of another topic; every second time there is a dressed one as well.
    """
    for index in range(number):
        rng = named_rng(seed, "templates", rule.name, index)
        if rule.family == "arithmetic":
            a, b = 3 + int(rng.random() * 40), 3 + int(rng.random() * 40)
            prompt = SUMS[index % len(SUMS)].format(a=a, b=b)
            good, bad = _sum_texts(rule.name, a, b, rng)
            better = f"{bad} This is a careful answer to a good question, checked line by line."
        else:
            topic = TOPICS[(index + sum(map(ord, rule.name))) % len(TOPICS)]
            prompt = topic.question
            good, bad = MAKERS[rule.name](topic, rng)
            better = dressed(bad, topic, rng)
        made = [((prompt, good, bad), False)]
        if index % 2:
            made.append(((prompt, good, better), True))
        yield from ((each, trap) for each, trap in made if rule.right((each[1], each[2]), prompt) == 0)


def missing() -> list[str]:
    """Principles that nobody makes pairs for."""
    return [rule.name for rule in RULES if rule.family != "arithmetic" and rule.name not in MAKERS]
