"""Principles that others wrote, as ours: a set, or a file of prompts with principles of their own."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.data.files import nameable, write_text
from salmon_core.data.points import pointed
from salmon_core.errors import ConfigError, Problem, SalmonError
from salmon_core.principles.formats.frames import statement, unlabelled
from salmon_core.principles.formats.items import Item, Reading, Row, Unmapped
from salmon_core.principles.formats.registry import read_foreign
from salmon_core.principles.salmon_json import slug
from salmon_core.principles.yaml import write_principle_yaml

#: characters of a name
_LONGEST = 48
_OPENING = re.compile(r"(?:the|this|an?)\s+(?:response|answer|reply|output)\s+(?:(?:is|has|should|one|that)\s+)*", re.I)


@dataclass(frozen=True)
class PromptPrinciples:
    """A prompt with principles of its own.

    Attributes:
        prompt: a text, or a conversation.
        id: empty where the file gives none.
    """

    prompt: str | tuple[Mapping[str, str], ...]
    principles: tuple[Principle, ...]
    id: str = ""

    def to_json(self) -> dict[str, Any]:
        """A row of a rubric file."""
        row: dict[str, Any] = {"id": self.id} if self.id else {}
        row["prompt" if isinstance(self.prompt, str) else "messages"] = self.prompt
        row["principles"] = [dict(_given(each)) for each in self.principles]
        return row


@dataclass(frozen=True)
class Imported:
    """What a file became.

    Attributes:
        format: that it was read in.
        principles: a set, or None where each prompt has its own.
        prompts: these.
        unmapped: what of the file has no place in it.
    """

    format: str
    principles: PrincipleSet | None
    prompts: tuple[PromptPrinciples, ...]
    unmapped: tuple[Unmapped, ...]

    @property
    def count(self) -> int:
        """Principles in all."""
        return sum(map(len, (self.principles or (), *(each.principles for each in self.prompts))))


def import_principles(path: Path, format_name: str | None = None) -> Imported:
    """Reads a file in any known format.

    Args:
        format_name: the format that it is read in; by default the one that recognises it.

    Raises:
        ConfigError: see `read_foreign`; or none of its principles would count.
    """
    nameable(path)
    chosen, reading = read_foreign(path, format_name)
    unmapped = list(reading.unmapped)
    found: PrincipleSet | None = None
    prompts: tuple[PromptPrinciples, ...] = ()
    if reading.rows is None:
        principles = _principles(reading.items, path.name, unmapped)
        name = " ".join(path.stem.split()) or "imported"
        found = PrincipleSet(name, principles, _described(reading))
    else:
        prompts = tuple(_merged(reading.rows, path.name, unmapped))
    imported = Imported(chosen.name, found, prompts, tuple(unmapped))
    if not imported.count:
        lost = "; ".join(f"{each.where}: {each.what}" for each in unmapped[:3])
        raise ConfigError([Problem(str(path), f"has no principle that would count: {lost}")])
    return imported


def default_target(source: Path, imported: Imported) -> Path:
    """Where an import goes by default: the working folder."""
    return Path(f"{source.stem}.yaml" if imported.principles is not None else f"{source.stem}-principles.jsonl")


def write_imported(imported: Imported, target: Path) -> None:
    """Writes a set as YAML, or prompts with their principles as JSON Lines.

    Raises:
        SalmonError: there is such a file already, or its ending is another format's.
    """
    endings = (".yaml", ".yml") if imported.principles is not None else (".jsonl",)
    kind = "a principle set" if imported.principles is not None else "principles for single prompts"
    if target.suffix.lower() not in endings:
        raise SalmonError(f"{kind} cannot be written there", where=str(target), hint=f"end it with {endings[0]}")
    if target.exists() or target.is_symlink():
        raise SalmonError("the file exists already", where=str(target), hint="give another name")
    if imported.principles is not None:
        write_principle_yaml(imported.principles, target)
        return
    write_text(target, "".join(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in imported.prompts))


def _described(reading: Reading) -> str:
    return ": ".join(filter(None, [reading.name, reading.description]))


def _principles(items: Iterable[Item], file: str, unmapped: list[Unmapped]) -> tuple[Principle, ...]:
    """Items as principles."""
    found: dict[str, Principle] = {}
    for item in items:
        title = " ".join(item.title.split())
        text, label = (item.text, "") if item.exact else unlabelled(item.text)
        text = text if item.exact else statement(text)
        tags = (*item.tags, label) if label and label not in item.tags else item.tags
        name = _free(_name(title, item.called or text), found)
        negated = item.negated
        if negated == text:
            unmapped.append(Unmapped(item.where, "its negated text is the same as its text"))
            negated = None
        try:
            said = pointed(text, negated, item.weight, negative=item.negative)
        except ValueError as error:
            unmapped.append(Unmapped(item.where, str(error), item=True))
            continue
        source = f"{file}, {item.where}: {item.source}"
        title = "" if title == name else title
        found[name] = Principle(
            name, *said, categories=item.categories, tags=tags, title=title, source=source, veto=item.veto
        )
    return tuple(found.values())


def _merged(rows: Sequence[Row], file: str, unmapped: list[Unmapped]) -> Iterator[PromptPrinciples]:
    """One row a prompt: what several rows ask of one prompt comes together. One without principles is left out."""
    prompts: dict[str, list[Row]] = {}
    for row in rows:
        prompts.setdefault(json.dumps([row.id, row.prompt]), []).append(row)
    for same in prompts.values():
        items = [item for row in same for item in row.items]
        principles = _principles(items, file, unmapped)
        if principles:
            yield PromptPrinciples(same[0].prompt, principles, same[0].id)


def _name(title: str, text: str) -> str:
    """A short name: of the title, else of the first words."""
    name = slug(title) if title else slug(" ".join(_OPENING.sub("", " ".join(text.split()), count=1).split()[:7]))
    if len(name) > _LONGEST:
        name = name[:_LONGEST].rpartition("-")[0] or name[:_LONGEST]
    return name


def _free(name: str, taken: Mapping[str, object]) -> str:
    """The name, with a number where there is one already."""
    if name not in taken:
        return name
    numbers = iter(range(2, len(taken) + 3))
    return next(f"{name}-{number}" for number in numbers if f"{name}-{number}" not in taken)


def _given(principle: Principle) -> Iterator[tuple[str, Any]]:
    """A principle of a rubric file: what is as by default is left out."""
    yield "name", principle.name
    yield "text", principle.text
    if principle.negated is not None:
        yield "negated", principle.negated
    if principle.weight != 1:
        yield "weight", principle.weight
    if principle.veto:
        yield "veto", True
    for key in ("tags", "title", "source"):
        if value := getattr(principle, key):
            yield key, value


def grouped(unmapped: Iterable[Unmapped]) -> list[tuple[str, str]]:
    """(places, what) of each kind, in order: a long file says the same of many rows."""
    by_kind: dict[tuple[str, bool], list[str]] = {}
    for each in unmapped:
        by_kind.setdefault((each.what, each.item), []).append(each.where)
    found = []
    for (what, _), places in by_kind.items():
        counted = Counter(places)
        shown = ", ".join(list(counted)[:3]) or "the whole file"
        found.append((f"{shown} and {len(counted) - 3} more" if len(counted) > 3 else shown, what))
    return found
