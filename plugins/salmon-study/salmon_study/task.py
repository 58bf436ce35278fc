"""A study's task, which raters get, and its key, which says whose answers they are.

The task holds a digest of the key, so that the key cannot be exchanged once there are ratings, and nothing else of it:
ids are numbers in an order by chance, and the coin that put an answer first was thrown with a seed that the key has.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from salmon_core.data.files import in_words, replacing, write_text
from salmon_core.data.readers import parse_json
from salmon_core.errors import DataError, SalmonError
from salmon_core.run.identity import fingerprint

FORMAT = 1
#: the question that names no principle
OVERALL = "overall"
Side = Literal["first", "second"]
#: whose answer: of the first run, or of one run before training; of the second run, or after training
Party = Literal["a", "b"]
T = TypeVar("T")
_HINT = "salmon study make writes one"


@dataclass(frozen=True)
class Question:
    """What is asked of each two answers.

    Attributes:
        name: of a principle, or `overall`.
        text: the principle's; empty for `overall`.
    """

    name: str
    text: str


@dataclass(frozen=True)
class Turn:
    """Of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Item:
    """Two answers to a prompt; which one is `first` was decided by a coin."""

    id: str
    messages: tuple[Turn, ...]
    first: str
    second: str


@dataclass(frozen=True)
class Task:
    """What raters get.

    Attributes:
        sealed: sha256 of the key's text.
    """

    questions: tuple[Question, ...]
    items: tuple[Item, ...]
    sealed: str

    @cached_property
    def id(self) -> str:
        """Of its content: ratings name it."""
        return fingerprint(asdict(self))

    @property
    def seed(self) -> int:
        """For the order in which raters see it; nothing that has to stay unknown."""
        return int(self.id, 16)

    @property
    def steps(self) -> int:
        """Ratings of a rater who is done."""
        return len(self.items) * len(self.questions)


@dataclass(frozen=True)
class Origin:
    """Where an item comes from.

    Attributes:
        prompt: its id in the first run; what is independent.
        first: whose answer is the first.
    """

    prompt: str
    first: Party


@dataclass(frozen=True)
class Key:
    """Which side is which.

    Attributes:
        a: and `b`: names of what is compared.
        seed: of the prompts' and the sides' order.
        items: by id.
        equal: prompts to which both gave the same answer: nobody is asked about those.
        passed: prompts that were looked at for it.
    """

    a: str
    b: str
    seed: int
    items: Mapping[str, Origin]
    equal: int
    passed: int

    def names(self, party: Party) -> str:
        """Of what is compared."""
        return self.a if party == "a" else self.b


def key_path(task: Path) -> Path:
    """Beside the task."""
    return task.with_name(f"{task.stem}.key.json")


def ratings_folder(task: Path) -> Path:
    """Beside the task: a file for each rater."""
    return task.with_name(f"{task.stem}.ratings")


def write_study(path: Path, questions: tuple[Question, ...], items: tuple[Item, ...], key: Key) -> Task:
    """Writes key and task; the task last, so that where it is, the key is too.

    Raises:
        SalmonError: a file there would be written over.
    """
    if path.exists():
        raise SalmonError("there is something already", where=str(path), hint="choose another --out")
    if key_path(path).exists():
        raise SalmonError(
            "there is the key of another study", where=str(key_path(path)), hint="choose another --out, or move it away"
        )
    if ratings_folder(path).exists():
        raise SalmonError(
            "there are ratings of another study of that name", where=str(ratings_folder(path)), hint="move them away"
        )
    text = _json({"format": FORMAT, **asdict(key)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(key_path(path)) as aside:
        aside.touch(mode=0o600)
        os.chmod(aside, 0o600)
        aside.write_text(text, encoding="utf-8", newline="")
    task = Task(questions, items, hashlib.sha256(text.encode()).hexdigest())
    write_text(path, _json({"format": FORMAT, **asdict(task)}))
    return task


def read_task(path: Path) -> Task:
    """
    Raises:
        DataError: there is none, or it is damaged.
    """
    task = _read(path, Task, "study")
    if not task.items or not task.questions:
        raise DataError("asks nothing", where=str(path), hint=_HINT)
    for names in ([item.id for item in task.items], [question.name for question in task.questions]):
        if len(set(names)) != len(names):
            raise DataError("asks something twice", where=str(path), hint=_HINT)
    if any(not item.messages for item in task.items):
        raise DataError("has an item without a prompt", where=str(path), hint=_HINT)
    return task


def read_key(path: Path, task: Task) -> Key:
    """The key of a task.

    Args:
        path: of the key.

    Raises:
        DataError: there is none, it is damaged, or another task's.
    """
    key = _read(path, Key, "key of a study")
    if hashlib.sha256(path.read_bytes()).hexdigest() != task.sealed:
        raise DataError(
            "is not the key that this study was sealed with: it was changed, or is another study's",
            where=str(path),
            hint="take the key that `salmon study make` wrote with it",
        )
    return key


def _read(path: Path, kind: type[T], what: str) -> T:
    from pydantic import TypeAdapter, ValidationError

    try:
        text = path.read_bytes().decode()
        values = parse_json(text)
    except FileNotFoundError:
        raise DataError("there is no such file", where=str(path), hint=_HINT) from None
    except OSError as error:
        raise in_words(error, str(path)) from None
    except ValueError:
        raise DataError(f"is no {what}: no JSON in UTF-8", where=str(path), hint=_HINT) from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"is no {what} of this version", where=str(path), hint=_HINT)
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise DataError(f"is no {what}: {at}: {first['msg']}", where=str(path), hint=_HINT) from None


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
