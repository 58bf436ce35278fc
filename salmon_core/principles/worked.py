"""What a model is shown when it makes its own demonstrations: worked exemplars, and topics to invent questions about.

exemplars:                     # of exemplars.yaml
  - {prompt: ..., thought: ..., answer: ..., applies: [names of principles]}

topics: [cooking, space]       # of topics.yaml: each topic meets each kind
kinds: [{name: how something is done, category: general}]
questions: [{topic: space, kind: how something is done, prompt: ...}]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from salmon_core.data.validation import problems_of
from salmon_core.data.yaml import read_document
from salmon_core.errors import ConfigError, Problem
from salmon_core.principles.fields import Name, Text, Written

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Worked:
    """A worked exemplar.

    Attributes:
        thought: which principles apply and what follows from them; kept from who asked.
        applies: names of those principles.
    """

    prompt: str
    answer: str
    thought: str = ""
    applies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Invented:
    """A question that was asked for a topic and of a kind; empty where it is still to be invented."""

    topic: str
    kind: str
    prompt: str = ""
    category: str = "general"


@dataclass(frozen=True, slots=True)
class Topics:
    """What questions are invented about.

    Attributes:
        kinds: (name, category of the prompts made of it).
        questions: to be shown as examples.
    """

    topics: tuple[str, ...]
    kinds: tuple[tuple[str, str], ...]
    questions: tuple[Invented, ...]


class _Worked(Written):
    prompt: Text
    answer: Text
    thought: str = ""
    applies: list[Name] = Field(default_factory=list)


class _Exemplars(Written):
    exemplars: list[_Worked] = Field(min_length=1)


class _Kind(Written):
    name: Name
    category: Name = "general"


class _Question(Written):
    topic: Name
    kind: Name
    prompt: Text


class _Topics(Written):
    topics: list[Name] = Field(min_length=1)
    kinds: list[Annotated[_Kind, BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)]] = Field(
        min_length=1
    )
    questions: list[_Question] = Field(min_length=1)


def read_exemplars(path: Path, principles: Iterable[str], *, thoughts: bool) -> tuple[Worked, ...]:
    """The exemplars of a file.

    Args:
        principles: names of those that are shown with them.
        thoughts: whether each needs one.

    Raises:
        ConfigError: everything wrong with the file.
    """
    written = _read(path, _Exemplars, "exemplars")
    known, problems = list(principles), []
    for index, each in enumerate(written.exemplars):
        place = f"{path}: exemplars[{index}]"
        if unknown := [name for name in each.applies if name not in known]:
            message = f"goes by {', '.join(map(repr, unknown))}, and the principles shown are {', '.join(known)}"
            hint = "exemplars belong to their principles: write your own for a set of your own"
            problems.append(Problem(f"{place}.applies", message, hint))
        if thoughts and not each.thought.strip():
            hint = "say which principles apply and what follows, or set self_align.thoughts: false"
            problems.append(Problem(f"{place}.thought", "is empty", hint))
    if problems:
        raise ConfigError(problems)
    return tuple(Worked(e.prompt, e.answer, e.thought.strip(), tuple(e.applies)) for e in written.exemplars)


def read_topics(path: Path) -> Topics:
    """The topics of a file.

    Raises:
        ConfigError: everything wrong with the file.
    """
    written = _read(path, _Topics, "topics")
    problems = [
        Problem(f"{path}: {key}", f"has {sorted(twice)[0]!r} twice")
        for key, names in (("topics", written.topics), ("kinds", [kind.name for kind in written.kinds]))
        if (twice := {name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise ConfigError(problems)
    return Topics(
        tuple(written.topics),
        tuple((kind.name, kind.category) for kind in written.kinds),
        tuple(Invented(each.topic, each.kind, each.prompt) for each in written.questions),
    )


def _read(path: Path, model: type[M], what: str) -> M:
    document = read_document(path)
    values: Any = document.values
    if not isinstance(values, dict):
        keys = ", ".join(model.model_fields)
        raise ConfigError([Problem(str(path), f"is no file of {what}", f"write keys such as {keys}")])
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = []
        for each in problems_of(error, "", model):
            line = document.line(each.where)
            problems.append(Problem(f"{path}{f':{line}' if line else ''}: {each.where}", each.message, each.hint))
        raise ConfigError(problems) from None
