"""Principles of an answer's voice: language, person, tense."""

from __future__ import annotations

from salmon_bench import measures as m
from salmon_bench.rules.rule import Bound, Rule, at_least, at_most

_NAMES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish"}
_FAR = 1e9
_IN_LANGUAGE = Bound((0.1, _FAR), (-_FAR, -0.05))
_MOSTLY = at_least(0.8, less=0.3)

LANGUAGE = tuple(
    Rule(
        f"in-{name.lower()}", "language", m.language(code), _IN_LANGUAGE,
        (
            f"The answer is in {name}.",
            f"{name} is the language of the answer.",
            f"The answer is written for a reader of {name}, in that language.",
        ),
        f"The answer is in another language than {name}.",
    )
    for code, name in _NAMES.items()
)  # fmt: skip

PERSON = (
    Rule(
        "first-person", "person", m.first_person, at_least(1),
        (
            "The answer speaks of its writer as I or me.",
            "The writer says I.",
            "The first person singular is used.",
        ),
        "The writer never says I or me.",
    ),
    Rule(
        "second-person", "person", m.second_person, at_least(1),
        (
            "The answer addresses the reader as you.",
            "The reader is spoken to, as you.",
            "The word you, or your, is used.",
        ),
        "The reader is never addressed as you.",
    ),
    Rule(
        "we-form", "person", m.we_form, at_least(1),
        (
            "The answer says we, us or our.",
            "It is written in the first person plural.",
            "The writer speaks for a group, as we.",
        ),
        "The words we, us and our are not used.",
    ),
    Rule(
        "they-form", "person", m.they_form, at_least(1),
        (
            "The answer speaks of them: they, their or them is used.",
            "It tells what they do, in the third person plural.",
            "Others are spoken of as they.",
        ),
        "The words they, them and their are not used.",
    ),
    Rule(
        "impersonal", "person", m.persons, at_most(0),
        (
            "The answer is impersonal: there is no I, no you and no we in it.",
            "Nobody speaks and nobody is addressed; first and second person are left out.",
            "It is written without I, me, you, we, us, and words made of them.",
        ),
        "The answer has a first or a second person: I, you or we.",
    ),
)  # fmt: skip

TENSE = (
    Rule(
        "past-tense", "tense", m.tense(0), _MOSTLY,
        (
            "The answer is told in the past tense.",
            "Everything is said to have happened already.",
            "Its verbs are in the past.",
        ),
        "The answer is not told in the past tense.",
    ),
    Rule(
        "present-tense", "tense", m.tense(1), _MOSTLY,
        (
            "The answer is in the present tense.",
            "It says how things are now.",
            "Its verbs are in the present.",
        ),
        "The answer is not in the present tense.",
    ),
    Rule(
        "future-tense", "tense", m.tense(2), _MOSTLY,
        (
            "The answer is in the future tense.",
            "It says what will be.",
            "Its verbs speak of what is to come, with will or shall.",
        ),
        "The answer is not in the future tense.",
    ),
)  # fmt: skip

RULES = (*LANGUAGE, *PERSON, *TENSE)
