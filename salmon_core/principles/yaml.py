"""Principle sets in YAML; the format is shown in `salmon_core.principles.files`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.data.points import pointed
from salmon_core.data.validation import problems_of
from salmon_core.data.yaml import YamlDocument, read_document, write_yaml, yaml_text
from salmon_core.errors import ConfigError, Problem
from salmon_core.principles.fields import Boost, Name, Points, Text, Weight, Written


class _Principle(Written):
    name: Name
    title: str = ""
    text: Text
    negated: Text | None = None
    weight: Points = 1.0
    categories: dict[str, Boost] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    veto: Annotated[bool, Field(strict=True)] = False
    source: str = ""

    @field_validator("negated")
    @classmethod
    def _opposite(cls, negated: str, info: ValidationInfo) -> str:
        if negated == info.data.get("text"):
            raise ValueError("is the same as `text`; say the opposite, or leave it out")
        return negated

    def principle(self) -> Principle:
        text, negated, weight = pointed(self.text, self.negated, self.weight)
        return Principle(**dict(self) | {"text": text, "negated": negated, "weight": weight})


class _Set(Written):
    """A file's keys; `extends` is the set of that name, which is looked up before."""

    name: Text | None = None
    description: str = ""
    extends: Text | None = None
    only: list[str] | None = None
    without: list[str] = Field(default_factory=list)
    weights: dict[str, Weight] = Field(default_factory=dict)
    principles: list[_Principle] = Field(default_factory=list)

    @field_validator("only", "without", "weights")
    @classmethod
    def _chosen(cls, names: Any, info: ValidationInfo) -> Any:
        """They name principles of the extended set."""
        if info.data.get("extends", ...) is None:
            raise ValueError("chooses from the set that `extends` names, and there is none")
        extended: PrincipleSet | None = info.context
        unknown = [name for name in names if extended is not None and name not in extended.names]
        if extended is not None and unknown:
            known, unknown_names = ", ".join(extended.names), ", ".join(map(repr, unknown))
            raise ValueError(f"{info.data.get('extends')!r} has no principle {unknown_names} (it has {known})")
        return names


def read_principle_yaml(path: Path, find: Callable[[str], PrincipleSet]) -> PrincipleSet:
    """The set in a file.

    Args:
        find: gives the set that `extends` names; its ConfigErrors become part of this file's, those of its problems
            that say no place at the place of `extends`.

    Raises:
        ConfigError: everything wrong with the file.
    """
    document = read_document(path)
    keys = ", ".join(_Set.model_fields)
    if not isinstance(document.values, dict):
        raise ConfigError([Problem(str(path), "is not a principle set", f"write keys such as {keys}")])
    extended: PrincipleSet | None = None
    problems: list[Problem] = []
    extends = document.values.get("extends")
    if isinstance(extends, str) and extends.strip():
        try:
            extended = find(extends.strip())
        except ConfigError as error:
            # A problem with a place lies in the extended file.
            problems += [each for each in error.problems if each.where]
            nowhere = (replace(each, where="extends") for each in error.problems if not each.where)
            problems += _placed(nowhere, path, document)
    try:
        written = _Set.model_validate(document.values, context=extended)
    except ValidationError as error:
        problems += _placed(problems_of(error, ""), path, document)
    if problems:
        raise ConfigError(problems)
    left = extended.select(written.only, written.without) if extended is not None else PrincipleSet("", ())
    problems = _placed(_clashes(written, left), path, document)
    if not left.principles and not written.principles:
        problems.append(Problem(str(path), "has no principles", "write `principles`, or `extends` with another set"))
    if problems:
        raise ConfigError(problems)
    own = [each.principle() for each in written.principles]
    everything = (*left.reweighted(written.weights), *own)
    return PrincipleSet(written.name or path.stem, everything, written.description)


def principle_lines(path: Path) -> dict[str, int]:
    """By name, the lines of the principles that stand in a file itself, not in one that it extends."""
    document = read_document(path)
    values = document.values.get("principles") if isinstance(document.values, dict) else None
    lines = {}
    for index, each in enumerate(values if isinstance(values, list) else ()):
        line = document.line(f"principles[{index}]")
        if isinstance(each, dict) and isinstance(each.get("name"), str) and line:
            lines[each["name"].strip()] = line
    return lines


def _placed(problems: Iterable[Problem], path: Path, document: YamlDocument) -> list[Problem]:
    """The same, with file and line."""
    placed = []
    for problem in problems:
        line = document.line(problem.where)
        file = f"{path}:{line}" if line else str(path)
        placed.append(replace(problem, where=f"{file}: {problem.where}"))
    return placed


def _clashes(written: _Set, left: PrincipleSet) -> list[Problem]:
    """Names that are given twice, and weights of principles that are left out."""
    problems = [
        Problem(f"weights.{name}", f"{name!r} gets a weight but is left out by `only` or `without`")
        for name in written.weights
        if name not in left.names
    ]
    seen: set[str] = set()
    for index, principle in enumerate(written.principles):
        where = f"principles[{index}].name"
        if principle.name in seen:
            problems.append(Problem(where, f"{principle.name!r} is given twice"))
        elif principle.name in left.names:
            hint = "give it another name, or leave the extended set's out with `without`"
            problems.append(Problem(where, f"{principle.name!r} is in the extended set too", hint))
        seen.add(principle.name)
    return problems


def write_principle_yaml(principles: PrincipleSet, path: Path) -> None:
    """Writes a set as a file of its own; reading it gives the same set."""
    write_yaml(path, _document(principles))


def principle_yaml(principles: PrincipleSet) -> str:
    """The text of that file."""
    return yaml_text(_document(principles))


def _document(principles: PrincipleSet) -> dict[str, Any]:
    document: dict[str, Any] = {"name": principles.name}
    if principles.description:
        document["description"] = principles.description
    document["principles"] = [dict(_item(principle)) for principle in principles]
    return document


def _item(principle: Principle) -> Iterator[tuple[str, Any]]:
    """A principle's keys and values in YAML, without those that are as by default."""
    for key, field in _Principle.model_fields.items():
        value = getattr(principle, key)
        if value != field.get_default(call_default_factory=True):
            yield key, list(value) if key == "tags" else dict(value) if key == "categories" else value
