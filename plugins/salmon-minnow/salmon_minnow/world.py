"""The minnow world: its prompts, and the grammar that writes answers to them.

An answer is planned first (:class:`Plan`: which language, whether it praises itself, ...) and then spoken by
:func:`speak`. Plans are drawn with :data:`HABITS`, the rates at which the shipped policy shows each quality
before any alignment. Prompts with ``held_out`` set are used for evaluation only: neither the policy's
pretraining nor any later training ever shows them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from salmon_minnow.lexicon import (
    COUNTRY_IDS,
    HARM_IDS,
    LANGUAGES,
    LEXICONS,
    NUMBERS,
    TASK_IDS,
    THING_IDS,
    Lexicon,
)

#: Kinds of prompt -> how often one is drawn where prompts are drawn by kind.
KINDS: dict[str, float] = {"capital": 5, "color": 4, "sum": 5, "howto": 4, "greeting": 2, "harm": 5}

#: Kinds of prompt -> the category the rest of the system knows them by.
CATEGORIES = {
    "capital": "general",
    "color": "general",
    "greeting": "general",
    "sum": "reasoning",
    "howto": "reasoning",
    "harm": "red-teaming",
}

#: How often an unaligned answer shows a quality, where it can.
HABITS: dict[str, float] = {
    "language": 0.5,
    "filler": 0.45,
    "vivid": 0.3,
    "steps": 0.4,
    "example": 0.3,
    "praise": 0.2,
    "refusal": 0.5,  # of harmful prompts
    "off_topic": 0.15,
    "stop": 0.85,
}


@dataclass(frozen=True)
class WorldPrompt:
    """A prompt of the world; ``subject`` indexes the lexicon's lists (for sums: the two addends)."""

    id: str
    text: str
    language: str
    kind: str
    subject: int | tuple[int, int]
    held_out: bool

    @property
    def category(self) -> str:
        """The category shared with the rest of the system: general, reasoning or red-teaming."""
        return CATEGORIES[self.kind]


@dataclass(frozen=True)
class Plan:
    """What an answer will be like. Numbers index the lexicon's lists; ``None`` means "left out"."""

    language: str
    core: str  # answer, refusal or off-topic
    off_topic: int = 0
    steps: bool = False
    adjective: int | None = None
    filler: int | None = None
    example: int | tuple[int, int] | None = None
    praise: int | None = None


# ---------------------------------------------------------------------------------------------- prompts
def _prompts(language: str) -> list[WorldPrompt]:
    lexicon, turn = LEXICONS[language], LANGUAGES.index(language)

    def rows(kind: str, question: str, slot: str, ids: Sequence[str], names: Sequence[str]) -> list[WorldPrompt]:
        return [
            _asked(language, kind, ident, i, way, lexicon.questions[question][way], {slot: name}, i % 4 == turn)
            for i, (ident, name) in enumerate(zip(ids, names, strict=True))
            for way in (0, 1)
        ]

    prompts = rows("capital", "capital", "country", COUNTRY_IDS, lexicon.countries)
    prompts += rows("color", "color", "thing", THING_IDS, lexicon.things)
    prompts += rows("howto", "howto", "task", TASK_IDS, list(lexicon.tasks))
    prompts += rows("harm", "howto", "task", HARM_IDS, list(lexicon.harms))
    prompts += [
        WorldPrompt(f"{language}-greeting-{i + 1}", text, language, "greeting", i, i % 4 == turn)
        for i, text in enumerate(lexicon.greetings)
    ]
    prompts += [
        _asked(
            language, "sum", f"{x}-{y}", (x, y), way, lexicon.questions["sum"][way], {"x": x, "y": y},
            (x + 2 * y + turn) % 5 == 0,
        )
        for x in NUMBERS
        for y in NUMBERS
        if x <= y
        for way in (0, 1)
    ]  # fmt: skip
    return prompts


def _asked(
    language: str,
    kind: str,
    ident: str,
    subject: int | tuple[int, int],
    way: int,
    question: str,
    slots: Mapping[str, object],
    chosen: bool,
) -> WorldPrompt:
    """A question asked in one of two ways; of a chosen subject, one of the two is held out."""
    number = subject if isinstance(subject, int) else sum(subject)
    held_out = chosen and way == (number // 4 + LANGUAGES.index(language)) % 2
    name = f"{language}-{kind}-{ident}" + ("" if way == 0 else "-again")
    return WorldPrompt(name, question.format(**slots), language, kind, subject, held_out)


#: Every prompt of the world, and two ways to look one up.
PROMPTS: tuple[WorldPrompt, ...] = tuple(p for language in LANGUAGES for p in _prompts(language))
PROMPTS_BY_ID: dict[str, WorldPrompt] = {p.id: p for p in PROMPTS}
PROMPTS_BY_TEXT: dict[str, WorldPrompt] = {p.text: p for p in PROMPTS}


@cache
def prompts_of(kind: str, held_out: bool) -> tuple[WorldPrompt, ...]:
    """The prompts of a kind on one side of the split."""
    return tuple(p for p in PROMPTS if p.kind == kind and p.held_out == held_out)


def draw_prompt(rng: random.Random, held_out: bool = False) -> WorldPrompt:
    """Draw a prompt: first its kind by weight, then one of that kind."""
    (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
    return rng.choice(prompts_of(kind, held_out))


# ---------------------------------------------------------------------------------------------- answers
def draw_plan(prompt: WorldPrompt, rng: random.Random, habits: Mapping[str, float] = HABITS) -> Plan:
    """Draw what an answer to ``prompt`` will be like, each quality at the rate ``habits`` gives it."""

    def shows(quality: str) -> bool:
        return rng.random() < habits[quality]

    language, core = draw_core(prompt, rng, habits)
    lexicon = LEXICONS[language]

    def one_of(quality: str, choices: Sequence[str]) -> int | None:
        return rng.randrange(len(choices)) if shows(quality) else None

    return Plan(
        language=language,
        core=core,
        off_topic=rng.randrange(len(lexicon.off_topic)),
        steps=shows("steps"),
        adjective=one_of("vivid", lexicon.adjectives),
        filler=one_of("filler", lexicon.fillers),
        example=_draw_example(prompt, rng) if shows("example") and prompt.kind != "greeting" else None,
        praise=one_of("praise", lexicon.praises),
    )


def draw_core(prompt: WorldPrompt, rng: random.Random, habits: Mapping[str, float]) -> tuple[str, str]:
    """Draw an answer's language, and whether it answers, refuses or is off topic."""

    def shows(quality: str) -> bool:
        return rng.random() < habits[quality]

    language = prompt.language if shows("language") else rng.choice([x for x in LANGUAGES if x != prompt.language])
    if shows("off_topic"):
        # Now and then a harmless prompt is refused, so that a refusal is not the same as a good answer.
        return language, "refusal" if prompt.kind != "harm" and rng.random() < 0.25 else "off-topic"
    return language, "refusal" if prompt.kind == "harm" and shows("refusal") else "answer"


def _draw_example(prompt: WorldPrompt, rng: random.Random) -> int | tuple[int, int]:
    """Draw an example on something other than the prompt's own subject."""
    if prompt.kind == "sum":
        return rng.choice([(x, y) for x in NUMBERS for y in NUMBERS if (x, y) != prompt.subject])
    count = len({"capital": COUNTRY_IDS, "color": THING_IDS}.get(prompt.kind, TASK_IDS))
    own = None if prompt.kind == "harm" else prompt.subject
    return rng.choice([i for i in range(count) if i != own])


def sentences(prompt: WorldPrompt, plan: Plan) -> list[str]:
    """The sentences a plan speaks, in order."""
    lexicon = LEXICONS[plan.language]
    spoken = []
    if plan.filler is not None:
        spoken.append(lexicon.fillers[plan.filler])
    spoken.append(core_sentence(prompt, plan))
    if plan.example is not None:
        spoken.append(example_sentence(prompt.kind, plan.example, lexicon))
    if plan.praise is not None:
        spoken.append(lexicon.praises[plan.praise])
    return spoken


def speak(prompt: WorldPrompt, plan: Plan) -> str:
    """The text of an answer, without a stop."""
    return " ".join(sentences(prompt, plan))


def draw_answer(prompt: WorldPrompt, rng: random.Random, habits: Mapping[str, float] = HABITS) -> str:
    """Draw a plan and speak it."""
    return speak(prompt, draw_plan(prompt, rng, habits))


def core_sentence(prompt: WorldPrompt, plan: Plan) -> str:
    """The sentence that answers, refuses or is off the topic."""
    lexicon = LEXICONS[plan.language]
    adjective = None if plan.adjective is None else lexicon.adjectives[plan.adjective]
    return _say(_core_template(prompt, plan, lexicon), adjective, core_slots(prompt, lexicon))


def _say(template: str, adjective: str | None, slots: Mapping[str, object]) -> str:
    vivid = r"\1" if adjective else ""
    return re.sub(r"\[(.*?)\]", vivid, template).format(adjective=adjective, **slots)


def _core_template(prompt: WorldPrompt, plan: Plan, lexicon: Lexicon) -> str:
    if plan.core == "off-topic":
        return lexicon.off_topic[plan.off_topic]
    if plan.core == "refusal":
        return lexicon.answers["refusal"]
    name = "howto" if prompt.kind == "harm" else prompt.kind
    return lexicon.answers[f"{name}-steps" if plan.steps and name in ("sum", "howto") else name]


def core_slots(prompt: WorldPrompt, lexicon: Lexicon) -> dict[str, object]:
    """What the slots of an answer to a prompt hold."""
    if isinstance(prompt.subject, tuple):
        x, y = prompt.subject
        return {"x": x, "y": y, "z": x + y}
    return _subject_slots(prompt.kind, prompt.subject, lexicon)


def _subject_slots(kind: str, subject: int, lexicon: Lexicon) -> dict[str, object]:
    if kind == "capital":
        return {"country": lexicon.countries[subject], "capital": lexicon.capitals[subject]}
    if kind == "color":
        return {"thing": lexicon.things[subject], "color": lexicon.colors[subject]}
    if kind == "greeting":
        return {}
    steps = list((lexicon.harms if kind == "harm" else lexicon.tasks).values())[subject]
    return dict(zip(("step1", "step2", "step3"), steps, strict=True))


def example_sentence(kind: str, subject: int | tuple[int, int], lexicon: Lexicon) -> str:
    """An example on a subject of a kind of prompt."""
    if isinstance(subject, tuple):
        x, y = subject
        return lexicon.examples["sum"].format(x=x, y=y, z=x + y)
    if kind in ("capital", "color"):
        return lexicon.examples[kind].format(**_subject_slots(kind, subject, lexicon))
    return lexicon.examples["howto"].format(task=list(lexicon.tasks)[subject])
