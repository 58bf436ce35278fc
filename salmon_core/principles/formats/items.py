"""What readers find in a file, before it becomes principles; and what they cannot map."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from salmon_core.data.validation import shown
from salmon_core.principles.formats.content import Content, Kind

#: every structured way to write
STRUCTURED: tuple[Kind, ...] = ("json", "jsonl", "yaml", "toml")


@dataclass(frozen=True)
class Item:
    """A principle as a file words it.

    Attributes:
        where: its place in the file.
        source: the wording there.
        called: what it is named after, where there is no title; by default the text.
        exact: the text says of an answer what it should be like; no frame around it is to be taken off.
        weight: signed; see `principles.points`.
    """

    where: str
    text: str
    source: str
    title: str = ""
    negated: str | None = None
    weight: float = 1.0
    negative: bool = False
    tags: tuple[str, ...] = ()
    categories: Mapping[str, float] = field(default_factory=dict)
    veto: bool = False
    exact: bool = False
    called: str = ""


@dataclass(frozen=True)
class Unmapped:
    """Something of a file that has no place in principles.

    Attributes:
        where: its place in the file.
        what: in words that are the same for all of its kind.
        item: whether it is a whole principle, which is missing from the result.
    """

    where: str
    what: str
    item: bool = False


@dataclass(frozen=True)
class Row:
    """A prompt with principles of its own.

    Attributes:
        prompt: a text, or a conversation.
    """

    where: str
    prompt: str | tuple[Mapping[str, str], ...]
    items: tuple[Item, ...]
    id: str = ""


@dataclass
class Reading:
    """Everything in a file: each principle is among the items, in a row, or among what is unmapped.

    Attributes:
        rows: of a file of prompts with principles, else None.
    """

    content: Content
    items: list[Item] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)
    rows: list[Row] | None = None
    name: str = ""
    description: str = ""

    def lost(self, key: str, what: str, *, item: bool = False) -> None:
        """Something at a key has no place."""
        self.unmapped.append(Unmapped(self.content.place(key), what, item))


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        name: for `--format`.
        summary: what such a file looks like, in one line.
        kinds: ways in which it is written.
        recognises: whether it is one; looks at the shape alone.
        read: reads whatever of it has that shape.
    """

    name: str
    summary: str
    kinds: tuple[Kind, ...]
    recognises: Callable[[Content], bool]
    read: Callable[[Content], Reading]


class NotMapped(Exception):
    """An item cannot become a principle; says why."""


class Fields:
    """Takes an object's values one by one, and knows what was left.

    Args:
        key: of the object in its file.
    """

    def __init__(self, values: Mapping[str, Any], key: str, reading: Reading):
        self._left, self._key, self._reading = dict(values), key, reading
        self._source = values

    def text(self, *names: str) -> str:
        """The first of these that is a text, without the space around it; empty where none is."""
        for name in names:
            value = self._left.get(name)
            if isinstance(value, str) and value.strip():
                del self._left[name]
                return value.strip()
        return ""

    def label(self, *names: str) -> str:
        """Likewise, and a whole number counts as a text."""
        for name in names:
            value = self._left.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                self._left[name] = str(value)
        return self.text(*names)

    def number(self, *names: str) -> float:
        """The first of these that there is; 1 where there is none.

        Raises:
            NotMapped: it is no number.
        """
        for name in names:
            value = self._left.pop(name, None)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise NotMapped(f"its `{name}` is no number")
            try:
                return float(value)
            except ValueError:
                raise NotMapped(f"its `{name}` is no number") from None
        return 1.0

    def flag(self, name: str) -> bool:
        """A truth value; false where there is none.

        Raises:
            NotMapped: something else.
        """
        value = self._left.pop(name, None)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise NotMapped(f"its `{name}` is neither true nor false")

    def tags(self, *names: str) -> tuple[str, ...]:
        """The texts in lists of these names; anything else in them stays."""
        found: list[str] = []
        for name in names:
            value = self._left.pop(name, None)
            values = [value] if isinstance(value, str) else value
            if isinstance(values, list) and all(isinstance(each, str) for each in values):
                found += [each.strip() for each in values if each.strip()]
            elif value is not None:
                self._left[name] = value
        return tuple(dict.fromkeys(found))

    def take(self, *names: str) -> Any:
        """The first of these that there is, whatever it is."""
        for name in names:
            if self._left.get(name) not in (None, "", [], {}):
                return self._left.pop(name)
        return None

    def source(self, *without: str) -> str:
        """The object as it is written, but for these keys."""
        values = {key: value for key, value in self._source.items() if key not in without}
        return json.dumps(values, ensure_ascii=False)

    def rest(self, where: str = "a principle") -> None:
        """Whatever was not taken is unmapped."""
        for name, value in self._left.items():
            if value not in (None, "", [], {}):
                self._reading.lost(f"{self._key}.{name}" if self._key else name, f"`{name}` has no place in {where}")


@dataclass(frozen=True)
class Keys:
    """Names of an object's keys, the first that is there counts."""

    text: tuple[str, ...]
    title: tuple[str, ...] = ()
    weight: tuple[str, ...] = ("weight",)
    negated: tuple[str, ...] = ("negated",)
    tags: tuple[str, ...] = ("tags",)
    exact: bool = False


def read_object(values: Any, key: str, reading: Reading, keys: Keys) -> Item | None:
    """An object as an item; what of it has no place is told, and also if that is all of it."""
    if not isinstance(values, dict):
        reading.lost(key, f"is no object: {shown(values)}", item=True)
        return None
    fields = Fields(values, key, reading)
    text = fields.text(*keys.text)
    if not text:
        reading.lost(key, f"has no text in `{keys.text[0]}`", item=True)
        return None
    try:
        item = Item(
            reading.content.place(key),
            text,
            fields.source(),
            title=fields.label(*keys.title),
            negated=fields.text(*keys.negated) or None,
            weight=fields.number(*keys.weight),
            negative=fields.flag("negative"),
            tags=fields.tags(*keys.tags),
            veto=fields.flag("veto"),
            exact=keys.exact,
        )
    except NotMapped as error:
        reading.lost(key, str(error), item=True)
        return None
    fields.rest()
    return item


def read_objects(values: Iterable[Any], key: str, reading: Reading, keys: Keys) -> list[Item]:
    """A list of them."""
    found = (read_object(each, f"{key}[{index}]", reading, keys) for index, each in enumerate(values))
    return [item for item in found if item is not None]


def listing(content: Content) -> tuple[list[Any], str]:
    """The list that a file is, or the only one of objects or texts in the object that it is; and its key."""
    values = content.values
    if isinstance(values, dict):
        lists = [(each, key) for key, each in values.items() if isinstance(each, list) and each]
        return lists[0] if len(lists) == 1 else ([], "")
    return (values, "") if isinstance(values, list) else ([], "")


def read_heading(content: Content, reading: Reading, *without: str) -> None:
    """What stands beside the list in the object that a file is."""
    if isinstance(content.values, dict):
        values = {key: value for key, value in content.values.items() if key not in without}
        fields = Fields(values, "", reading)
        reading.name = fields.text("name", "title")
        reading.description = fields.text("description")
        fields.rest("a principle set")


def some_have(values: Iterable[Any], *keys: str) -> bool:
    """Whether any object in a list has all of these keys."""
    return any(isinstance(each, dict) and all(key in each for key in keys) for each in values)
