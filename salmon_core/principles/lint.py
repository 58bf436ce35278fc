"""What is doubtful about a principle set, by its texts and weights alone; no model is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.api.templates import Limits
from salmon_core.principles.salmon_json import slug

Severity = Literal["error", "warning", "note"]
#: principles that are drawn for a prompt, by default
_SHOWN = 3
#: a share of the draws from which on a principle counts as one that is drawn
_RARE = 1 / 1000
#: share of words that two texts have in common, from which on they say nearly the same
_ALIKE = 0.8
#: words that say nothing by themselves, and words that turn a text round
_EMPTY_WORD = re.compile(
    r"an?|the|this|that|is|are|be|has|have|does|do|should|must|of|to|in|and|or|its?|response|answer|reply|output"
)
_NEGATOR = re.compile(r"not|no|never|none|nor|without|avoids?|lacks?|\w+n't|cannot")


@dataclass(frozen=True)
class Finding:
    """Something to know about a set.

    Attributes:
        rule: the check that found it, in lower case with hyphens.
        principles: concerned, by name.
        where: file and line of the first of them, where known.
        hint: what to do.
    """

    severity: Severity
    rule: str
    principles: tuple[str, ...]
    message: str
    hint: str
    where: str = ""


def estimated_tokens(text: str) -> int:
    """About as many as a usual tokenizer makes of a text: four bytes of English each."""
    return -(-len(text.encode()) // 4)


def lint(
    principles: PrincipleSet,
    *,
    places: Mapping[str, str] | None = None,
    tokens: Callable[[str], int] = estimated_tokens,
    limits: Limits | None = None,
) -> list[Finding]:
    """All findings, those of the worst kind first.

    Args:
        places: file and line, by a principle's name.
        tokens: counts those of a text.
        limits: of the texts that judge and reward model read.
    """
    known = places or {}
    found = [
        *_names(principles),
        *_alike(principles),
        *_negations(principles),
        *_lengths(principles, tokens, limits or Limits()),
        *_draws(principles),
    ]
    return ranked([_placed(finding, known) for finding in found])


def ranked(findings: list[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes."""
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: order[finding.severity])


def _placed(finding: Finding, places: Mapping[str, str]) -> Finding:
    where = next((places[name] for name in finding.principles if name in places), "")
    return Finding(
        finding.severity, finding.rule, finding.principles, finding.message, finding.hint, finding.where or where
    )


def _names(principles: PrincipleSet) -> Iterator[Finding]:
    slugs: dict[str, str] = {}
    for each in principles:
        short = slug(each.name)
        if short in slugs:
            yield Finding(
                "warning",
                "name-clash",
                (slugs[short], each.name),
                f"both are {short!r} in lower case with hyphens",
                "give one another name: in the published format and in file names they are the same",
            )
        slugs.setdefault(short, each.name)
        if each.name.casefold().startswith("not "):
            hint = "statistics write `not NAME` for a negated principle; give it another name"
            yield Finding("warning", "name-clash", (each.name,), "its name reads like a negated principle's", hint)


def _words(text: str) -> tuple[frozenset[str], bool]:
    """The words of a text that say something, and whether it is turned round by an odd number of negators."""
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)?", text.casefold().replace("’", "'"))
    negators = [word for word in words if _NEGATOR.fullmatch(word)]
    said = frozenset(word for word in words if word not in negators and not _EMPTY_WORD.fullmatch(word))
    return said, len(negators) % 2 == 1


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _similar(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one) and len(one & other) >= _ALIKE * len(one | other)


def _alike(principles: PrincipleSet) -> Iterator[Finding]:
    """Texts that say the same, nearly the same, or the opposite."""
    looked = [(each, _plain(each.text), *_words(each.text)) for each in principles]
    for (a, plain, words, turned), (b, other_plain, other_words, other_turned) in combinations(looked, 2):
        names = (a.name, b.name)
        if plain and plain == other_plain:
            yield Finding("error", "duplicate", names, "say the same", "leave one of them out")
        elif _similar(words, other_words):
            if turned == other_turned:
                hint = "leave one out, or say what sets them apart: together they count twice"
                yield Finding("warning", "near-duplicate", names, "say nearly the same", hint)
            else:
                hint = "leave one out, or make it the other's `negated`: drawn together they cancel"
                yield Finding("warning", "opposite", names, "ask for opposite things", hint)
        elif a.negated is not None and plain and _plain(a.negated) == other_plain:
            hint = "leave one out: drawn together they cancel"
            yield Finding("warning", "opposite", names, "one asks for what the other's `negated` says", hint)


def _negations(principles: PrincipleSet) -> Iterator[Finding]:
    missing = tuple(each.name for each in principles if each.negated is None)
    if missing:
        yield Finding(
            "note",
            "no-negation",
            missing,
            f"{len(missing)} of {len(principles)} have no negated text",
            "write one where judging is to be checked, or the reward model to learn both directions",
        )
    for each in principles:
        if each.negated is None:
            continue
        if _plain(each.negated) == _plain(each.text):
            hint = "say the opposite, or leave it out"
            yield Finding("error", "same-negation", (each.name,), "its negated text is the same as its text", hint)
            continue
        (words, turned), (negated, other) = _words(each.text), _words(each.negated)
        if words == negated and turned == other:
            hint = "describe the opposite behaviour"
            yield Finding("warning", "same-negation", (each.name,), "its negated text says nearly the same", hint)


def _lengths(principles: PrincipleSet, tokens: Callable[[str], int], limits: Limits) -> Iterator[Finding]:
    """Principles are never cut: a long one takes room from the answer, a very long one all of it."""
    room = limits.total - limits.prompt - limits.completion
    share = max(1, room // _SHOWN)
    for each in principles:
        count = max(tokens(text) for text in (each.text, each.negated or ""))
        if count >= limits.total:
            message = f"is about {count} tokens long, and a whole text may have {limits.total}"
            yield Finding("error", "too-long", (each.name,), message, "shorten it, or raise `limits.total`")
        elif count > share:
            message = (
                f"is about {count} tokens long; where {_SHOWN} are shown, each has {share} before the answer is cut"
            )
            yield Finding("warning", "too-long", (each.name,), message, "shorten it, or split it in two")


def _draws(principles: PrincipleSet) -> Iterator[Finding]:
    """Principles with next to no share of the draws, whatever the prompt's category."""
    categories = ["general", *sorted({category for each in principles for category in each.categories} - {"general"})]
    totals = {category: sum(each.weight_for(category) for each in principles) for category in categories}
    for each in principles:
        share, category = max((_share(each, category, totals[category]), category) for category in categories)
        if share < _RARE:
            beside = f", on prompts of {category!r} at best" if len(categories) > 1 else ""
            hint = "raise its weight, lower the others', or leave it out"
            message = f"is one of {round(1 / share) if share else 'no'} draws{beside}"
            yield Finding("warning", "never-drawn", (each.name,), message, hint)


def _share(principle: Principle, category: str, total: float) -> float:
    return principle.weight_for(category) / total
