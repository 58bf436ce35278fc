"""The principle files SALMON published: JSON lists of objects with `dimension`, `definition`, and `negative_definition`
(for the reward model) or `weight` (for RL)."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.data.points import pointed
from salmon_core.data.readers import parse_json
from salmon_core.data.text import read_text
from salmon_core.data.validation import problems_of
from salmon_core.errors import ConfigError, DataError, Problem
from salmon_core.principles.fields import Points, Text, Written


class _Published(Written):
    dimension: Text
    definition: Text
    negative_definition: Text | None = None
    weight: Points = 1.0

    def principle(self) -> Principle:
        name = slug(self.dimension)
        title = "" if self.dimension == name else self.dimension
        return Principle(name, *pointed(self.definition, self.negative_definition, self.weight), title=title)


def slug(title: str) -> str:
    """A title as a principle's name: `Honest and Accurate` -> `honest-and-accurate`."""
    return re.sub(r"[\W_]+", "-", title.lower()).strip("-") or title.strip()


def read_salmon_json(path: Path) -> PrincipleSet:
    """The set in a published file, named after the file; a dimension becomes the title and, as a slug, the name.

    Raises:
        ConfigError: everything wrong with the file.
    """
    try:
        items = parse_json(read_text(path))
    except ValueError as error:
        raise ConfigError([Problem(str(path), str(error))]) from None
    if not isinstance(items, list) or not items:
        keys = ", ".join(_Published.model_fields)
        hint = f"objects with {keys}; other formats go through `salmon principles import {path.name}`"
        raise ConfigError([Problem(str(path), "is not a list of principles", hint)])
    problems: list[Problem] = []
    principles: dict[str, Principle] = {}
    try:
        published = TypeAdapter(list[_Published]).validate_python(items)
    except ValidationError as error:
        problems, published = problems_of(error, ""), []
    for index, item in enumerate(published):
        principle = item.principle()
        if principle.name in principles:
            message = f"{item.dimension!r} is given twice (as {principle.name!r})"
            problems.append(Problem(f"[{index}].dimension", message))
        principles[principle.name] = principle
    if problems:
        raise ConfigError([replace(problem, where=f"{path}: {problem.where}") for problem in problems])
    return PrincipleSet(path.stem, tuple(principles.values()))


def salmon_json(principles: PrincipleSet, *, kind: Literal["reward-model", "rl"]) -> str:
    """A set in the published format, which has no place for categories and tags.

    Args:
        kind: `reward-model` gives negated texts, `rl` gives weights.

    Raises:
        DataError: kind is `reward-model`, and a principle has no negated text.
    """
    items: list[dict[str, str | float]] = []
    for principle in principles:
        item: dict[str, str | float] = {"dimension": principle.title or principle.name, "definition": principle.text}
        if kind == "rl":
            item["weight"] = int(principle.weight) if float(principle.weight).is_integer() else principle.weight
        elif principle.negated is None:
            raise DataError(
                f"principle {principle.name!r} has no negated text",
                where=f"principle set {principles.name}",
                hint="a file for the reward model needs one for each; write an rl file instead",
            )
        else:
            item["negative_definition"] = principle.negated
        items.append(item)
    return json.dumps(items, ensure_ascii=False, indent=2) + "\n"
