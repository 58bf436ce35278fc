"""The grammar of the wide world's answers: minnow's, with openings, closings, other examples and another order.

An answer is `[opening] [filler] core [example] [self-praise] [closing]`; now and then one of its sentences is moved
to the front, or one to the end. An example may be of another kind than the prompt. The prompts are minnow's.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from salmon_minnow.lexicon import COUNTRY_IDS, LEXICONS, NUMBERS, TASK_IDS, THING_IDS
from salmon_minnow.wide.lexicon import CLOSINGS, OPENINGS
from salmon_minnow.world import (
    Plan,
    WorldPrompt,
    core_sentence,
    draw_core,
    example_sentence,
)

#: Kinds of example.
EXAMPLES = ("capital", "color", "sum", "howto")

#: How often an unaligned answer shows a quality, where it can.
HABITS: dict[str, float] = {
    "language": 0.5,
    "filler": 0.35,
    "vivid": 0.45,
    "steps": 0.4,
    "example": 0.45,
    "praise": 0.3,
    "opening": 0.35,
    "closing": 0.5,
    "refusal": 0.5,  # of harmful prompts
    "off_topic": 0.25,
    "front": 0.35,
    "end": 0.35,
    "other_kind": 0.5,  # of examples
    "stop": 0.85,
}


@dataclass(frozen=True)
class WidePlan:
    """What an answer will be like: minnow's plan without an example, and what else it says."""

    plan: Plan
    example: tuple[str, int | tuple[int, int]] | None = None
    opening: str | None = None
    closing: str | None = None
    #: Which part is moved to the front, and which to the end.
    front: str | None = None
    end: str | None = None


def draw_plan(prompt: WorldPrompt, rng: random.Random, habits: Mapping[str, float] = HABITS) -> WidePlan:
    """Draw what an answer to ``prompt`` will be like, each quality at the rate ``habits`` gives it."""

    def shows(quality: str) -> bool:
        return rng.random() < habits[quality]

    language, core = draw_core(prompt, rng, habits)
    lexicon = LEXICONS[language]

    def one_of(quality: str, choices: Sequence[str]) -> int | None:
        return rng.randrange(len(choices)) if shows(quality) else None

    plan = Plan(
        language=language,
        core=core,
        off_topic=rng.randrange(len(lexicon.off_topic)),
        steps=shows("steps"),
        adjective=one_of("vivid", lexicon.adjectives),
        filler=one_of("filler", lexicon.fillers),
        praise=one_of("praise", lexicon.praises),
    )
    example = None
    if shows("example"):
        kind = "howto" if prompt.kind == "harm" else prompt.kind
        kind = rng.choice(EXAMPLES) if kind not in EXAMPLES or shows("other_kind") else kind
        example = (kind, _draw_subject(kind, rng))
    opening = rng.choice(list(OPENINGS)) if shows("opening") else None
    closing = rng.choice(list(CLOSINGS)) if shows("closing") else None
    own = WidePlan(plan, example, opening, closing)
    parts = list(spoken(prompt, own))
    front = rng.choice(parts[1:]) if len(parts) > 1 and shows("front") else None
    rest = [part for part in parts[:-1] if part != front]
    end = rng.choice(rest) if rest and shows("end") else None
    return WidePlan(plan, example, opening, closing, front, end)


def _draw_subject(kind: str, rng: random.Random) -> int | tuple[int, int]:
    if kind == "sum":
        return rng.choice(NUMBERS), rng.choice(NUMBERS)
    return rng.randrange(len({"capital": COUNTRY_IDS, "color": THING_IDS}.get(kind, TASK_IDS)))


def spoken(prompt: WorldPrompt, own: WidePlan) -> dict[str, str]:
    """Parts of an answer in order, and their sentences."""
    plan, lexicon = own.plan, LEXICONS[own.plan.language]
    parts = {}
    if own.opening is not None:
        parts["opening"] = OPENINGS[own.opening][plan.language]
    if plan.filler is not None:
        parts["filler"] = lexicon.fillers[plan.filler]
    parts["core"] = core_sentence(prompt, plan)
    if own.example is not None:
        parts["example"] = example_sentence(*own.example, lexicon)
    if plan.praise is not None:
        parts["praise"] = lexicon.praises[plan.praise]
    if own.closing is not None:
        parts["closing"] = CLOSINGS[own.closing][plan.language]
    order = [part for part in parts if part not in (own.front, own.end)]
    order = [*([own.front] if own.front in parts else []), *order, *([own.end] if own.end in parts else [])]
    return {part: parts[part] for part in order if part is not None}


def speak(prompt: WorldPrompt, own: WidePlan) -> str:
    """The text of an answer, without a stop."""
    return " ".join(spoken(prompt, own).values())


def draw_answer(prompt: WorldPrompt, rng: random.Random, habits: Mapping[str, float] = HABITS) -> str:
    """Draw a plan and speak it."""
    return speak(prompt, draw_plan(prompt, rng, habits))
