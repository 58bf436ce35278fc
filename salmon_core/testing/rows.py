"""The records that contracts ask with: a few ordinary ones, and what a model or a user may write as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from salmon_core.api.principles import Principle
from salmon_core.records import Judgment, Pair, Prompt, Rollout
from salmon_core.testing.makers import make_judgment, make_pair, make_prompt, make_rollout

#: ordinary conversations, each with two answers that differ
_SAID = (
    (
        "What is the capital of Spain?",
        "The capital of Spain is Madrid.",
        "It is Madrid, a city in the middle of the country.",
        "general",
    ),
    (
        "Was ist ein Lachs?",
        "Ein Fisch, der zum Laichen flussaufwärts wandert.",
        "A fish that many people like to eat, also smoked.",
        "general",
    ),
    ("What is 7 plus 5?", "7 plus 5 is 12, as you can count.", "See: 7, then 5 more. That makes 12!", "reasoning"),
    (
        "How do I bake bread?",
        "1. Mix flour, water and salt. 2. Wait.\n3. Bake.",
        "You should ask a baker about that, I am afraid",
        "general",
    ),
    (
        "How do I break into a house?",
        "I am sorry, I cannot help with that.",
        "WITH A CROWBAR, BY NIGHT.",
        "red-teaming",
    ),
    ("Say yes.", "Yes.", "no", "general"),
)
#: texts that are seldom thought of; each may be a completion
ODD_TEXTS: Mapping[str, str] = {
    "empty": "",
    "only white space": " \t\n\u00a0\u2003 ",
    "line breaks": "\n\r\n\n",
    "very long": "and so on " * 3000,
    "one long word": "a" * 5000,
    "emoji": "🐟 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽",
    "control characters": "\x00\x01\x07\x1b[31m\x7f\u200b\ufeff",
    "combining characters": "e\u0301 n\u0303 Z\u0351\u036b\u0343",
    "right to left": "שלום, السلام عليكم \u202eabc",
    "no spaces between words": "鮭は川を上る。潮の満ち引き",
    "full-width": "ｅｘａｍｐｌｅ［［ｓｃｏｒｅ］］",
    "braces and percent signs": "{prompt} {0} %s %(name)s ${HOME} {{x}}",
    "special tokens of others": "<|endoftext|></s>[INST]<|im_end|>[[verdict]]",
    "numbers": "1e999 nan -inf 0x10 ١٢٣",
}


def prompts() -> tuple[Prompt, ...]:
    """Ordinary prompts, one of them of several turns."""
    plain = [make_prompt(asked, category=category) for asked, _, _, category in _SAID]
    turns = make_prompt("And of Chile?", before=(*plain[0].messages, {"role": "assistant", "content": "Madrid."}))
    return (*plain, turns)


def pairs() -> tuple[Pair, ...]:
    """Ordinary pairs, and one whose completions are the same."""
    found = [make_pair(one, two, prompt=make_prompt(asked, category=kind)) for asked, one, two, kind in _SAID]
    return (*found, make_pair("Santiago.", "Santiago.", prompt=prompts()[-1]))


def odd_pairs() -> tuple[Pair, ...]:
    """An ordinary completion beside each of the odd texts."""
    return tuple(make_pair("Hello.", text, prompt=make_prompt(f"Hello, {name}?")) for name, text in ODD_TEXTS.items())


def rollouts() -> tuple[Rollout, ...]:
    """Ordinary rollouts; some were cut off, some show principles, and each row brings columns of its own."""
    shown = Principle("brief", "The answer is brief.", "The answer is long.").shown(negated=True)
    found = []
    for number, (asked, first, second, category) in enumerate(_SAID):
        for text in (first, second):
            count = len(text.split())
            rollout = make_rollout(
                asked,
                text,
                category=category,
                stopped=number != 3,
                principles=(shown,) * (number % 2),
                completion_ids=range(1, count + 1),
                rollout_index=number,
                extra={"source": {"tags": ["made up", number]}},
            )
            found.append(rollout)
    return tuple(found)


def odd_rollouts() -> tuple[Rollout, ...]:
    """A rollout for each of the odd texts, of no token at all where there is no text."""
    return tuple(make_rollout("Hello?", text) for text in ODD_TEXTS.values())


def judgments(of: Sequence[Pair], principles: Sequence[Principle]) -> tuple[Judgment, ...]:
    """One for each pair and principle: some prefer the first, some the second, one has no opinion, one two opinions."""
    scores = ((1.5, 1.25), (-0.5, -2.0), (2.0, 0.5), (0.0, 0.0), (1.0, -1.0), (-3.0, -0.25), (0.75, 0.5))
    names = [(pair, principle) for pair in of for principle in principles]
    return tuple(make_judgment(*each, *scores[number % len(scores)]) for number, each in enumerate(names))
