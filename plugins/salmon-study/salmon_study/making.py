"""A study of two runs, or of one before and after its training."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from salmon_core.api.evaluation import Role
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt, prompt_id
from salmon_core.rng import named_rng, shuffled
from salmon_core.run.run import Run
from salmon_core.stages.watched import Watch
from salmon_study.answers import answers_of, held_out
from salmon_study.task import OVERALL, Item, Key, Origin, Party, Question, Task, Turn, write_study


@dataclass(frozen=True)
class Wanted:
    """What a study asks.

    Attributes:
        prompts: at most so many whose answers differ.
        samples: answers of each to a prompt, compared one by one.
        principles: names; empty without `overall`: those that the reward is made of.
        overall: also, or only, which answer is better altogether.
        seed: of the order of prompts and sides; None: one that nobody can guess.
    """

    prompts: int = 40
    samples: int = 1
    principles: tuple[str, ...] = ()
    overall: bool = False
    seed: int | None = None


@dataclass(frozen=True)
class Made:
    """A study that was made."""

    task: Task
    key: Key


@dataclass(frozen=True)
class _Answers:
    """Of one side."""

    run: Run
    role: Role
    name: str


def make_study(runs: Sequence[Run], out: Path, wanted: Wanted, watch: Watch) -> Made:
    """Pairs answers to the same held-out prompts and writes task and key.

    Args:
        runs: one, before against after training; or two, both after.

    Raises:
        SalmonError: they have no held-out prompts in common, always answer alike, or have no such principle.
    """
    one, other = _sides(runs)
    questions = _questions(runs, wanted)
    seed = secrets.randbits(63) if wanted.seed is None else wanted.seed
    prompts = {prompt_id(prompt.messages): prompt for prompt in held_out(one.run)}
    theirs = {prompt_id(prompt.messages): prompt.id for prompt in held_out(other.run)}
    common = shuffled([text for text in sorted(prompts) if text in theirs], named_rng(seed, "study", "prompts"))
    if not common:
        hint = "both runs need the same prompts, and the same `held_out` and seed, or prompts marked `test`"
        raise SalmonError("the runs have no held-out prompts in common", where=str(other.run.path), hint=hint)
    first = answers_of(one.run, one.role, wanted.samples, watch)
    second = answers_of(other.run, other.role, wanted.samples, watch)
    items, origins, equal, passed = list[Item](), dict[str, Origin](), 0, 0
    coin, asked = named_rng(seed, "study", "sides"), 0
    for text in common:
        if asked == wanted.prompts:
            break
        passed += 1
        pairs = _different(first.get(prompts[text].id, ()), second.get(theirs[text], ()))
        equal += not pairs
        asked += bool(pairs)
        for a, b in pairs:
            item, origin = _item(f"c{len(items) + 1:04d}", prompts[text], a, b, "a" if coin.random() < 0.5 else "b")
            items.append(item)
            origins[item.id] = origin
    if not items:
        raise SalmonError(
            f"both answer all {passed} held-out prompts alike: there is nothing to ask",
            where=str(other.run.path),
            hint="compare other runs, or with --samples N more than one answer to each",
        )
    key = Key(one.name, other.name, seed, origins, equal, passed)
    return Made(write_study(out, questions, tuple(items), key), key)


def _sides(runs: Sequence[Run]) -> tuple[_Answers, _Answers]:
    if len(runs) == 1:
        (run,) = runs
        if run.config.config.train.algorithm == "none":
            hint = "give two runs"
            raise SalmonError("the run trains no policy: there is no after", where=str(run.path), hint=hint)
        name = run.path.name
        return _Answers(run, "initial", f"{name} before"), _Answers(run, "policy", f"{name} after")
    one, other = runs
    if one.path == other.path:
        raise SalmonError("is given twice", where=str(one.path), hint="give it once, to compare before and after")
    names = [run.path.name for run in runs]
    if names[0] == names[1]:
        names = [str(Path(run.path.parent.name) / run.path.name) for run in runs]
    if names[0] == names[1]:
        names = [str(run.path) for run in runs]
    return _Answers(one, "policy", names[0]), _Answers(other, "policy", names[1])


def _questions(runs: Sequence[Run], wanted: Wanted) -> tuple[Question, ...]:
    """Principles by their names, as the runs have them; the reward's before the judge's."""
    found = [
        {each.name: each.text for each in (*run.config.judge_principles, *run.config.reward_principles)} for run in runs
    ]
    names = list(dict.fromkeys(wanted.principles))
    if not names and not wanted.overall:
        names = list(runs[-1].config.reward_principles.names)
    if OVERALL in names:
        raise SalmonError(f"a principle is named {OVERALL!r}, as the question for none", hint="ask for the others")
    questions = []
    for name in names:
        texts = {own[name] for own in found if name in own}
        if not texts:
            hint = f"there are {', '.join({name: None for own in found for name in own})}"
            raise SalmonError(f"there is no principle {name!r}", where="--principles", hint=hint)
        if len(texts) > 1:
            hint = "raters can be asked by one text only; compare the runs --overall"
            raise SalmonError(f"the runs have two texts of the principle {name!r}", where="--principles", hint=hint)
        questions.append(Question(name, *texts))
    return (*questions, *((Question(OVERALL, ""),) if wanted.overall else ()))


def _different(first: Sequence[Completion], second: Sequence[Completion]) -> list[tuple[str, str]]:
    return [(a.text, b.text) for a, b in zip(first, second, strict=False) if a.text != b.text]


def _item(id: str, prompt: Prompt, a: str, b: str, first: Party) -> tuple[Item, Origin]:
    texts: Mapping[Party, str] = {"a": a, "b": b}
    second: Party = "b" if first == "a" else "a"
    turns = tuple(Turn(cast(Any, each["role"]), each["content"]) for each in prompt.messages)
    return Item(id, turns, texts[first], texts[second]), Origin(prompt.id, first)
