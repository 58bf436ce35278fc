"""Principle sets in YAML; the format is shown in `salmon_core.principle_files`."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from salmon_core.errors import ConfigError, Problem
from salmon_core.principles import Principle, PrincipleSet
from salmon_core.yamls import read_yaml

_SET_KEYS = ("name", "description", "extends", "only", "without", "weights", "principles")
_PRINCIPLE_KEYS = ("name", "title", "text", "negated", "weight", "categories", "tags")
#: how deep the format goes (principles, one of them, its categories, one of these); nothing below gets a line number
_DEPTH = 4


def read_principle_yaml(path: Path, find: Callable[[str], PrincipleSet]) -> PrincipleSet:
    """The set in a file.

    Args:
        find: gives the set that `extends` names; its ConfigErrors become part of this file's, those of its problems
            that say no place at the place of `extends`.

    Raises:
        ConfigError: everything wrong with the file.
    """
    return _Reader(path, find).run()


class _Reader:
    """Reads one file and collects all that is wrong with it."""

    def __init__(self, path: Path, find: Callable[[str], PrincipleSet]):
        self._path, self._find = path, find
        self._document = read_yaml(path)
        self._lines = _key_lines(path.read_text(encoding="utf-8"))
        self._problems: list[Problem] = []

    def problem(self, key: str, message: str, hint: str | None = None) -> None:
        """Notes a problem at a key path such as `principles[2].weight`, with the nearest line that is known."""
        known = key
        while known and known not in self._lines:
            known = known[: max(known.rfind("."), known.rfind("["), 0)]
        line = f":{self._lines[known]}" if known in self._lines else ""
        self._problems.append(Problem(f"{self._path}{line}" + (f": {key}" if key else ""), message, hint))

    def run(self) -> PrincipleSet:
        document = self._document
        if not isinstance(document, dict):
            self.problem("", "is not a principle set", f"write keys such as {', '.join(_SET_KEYS)}")
            raise ConfigError(self._problems)
        self.keys(document, _SET_KEYS, "")
        name = self.text(document, "name", "") or self._path.stem
        description = self.text(document, "description", "", may_be_empty=True) or ""
        inherited = self.inherited(document)
        own = self.principles(document.get("principles"))
        if inherited is not None:
            for index, principle in own:
                if principle.name in inherited.names:
                    hint = "give it another name, or leave the extended set's out with `without`"
                    self.problem(f"principles[{index}].name", f"{principle.name!r} is in the extended set too", hint)
        everything = (*(inherited or ()), *(principle for _, principle in own))
        if not everything and not self._problems:
            self.problem("", "has no principles", "write `principles`, or `extends` with the name of another set")
        if self._problems:
            raise ConfigError(self._problems)
        return PrincipleSet(name, everything, description)

    def inherited(self, document: Mapping[Any, Any]) -> PrincipleSet | None:
        """What is left of the extended set; None where there is none, or where it cannot be read."""
        extends = self.text(document, "extends", "")
        only, without = self.names(document, "only"), self.names(document, "without") or []
        weights = self.weights(document.get("weights"), "weights", positive=True)
        if extends is None:
            for key in ("only", "without", "weights"):
                if document.get(key) is not None and document.get("extends") is None:
                    self.problem(key, "chooses from the set that `extends` names, and there is none")
            return None
        parent = self.parent(extends)
        if parent is None:
            return None
        known = f"it has {', '.join(parent.names)}"
        for key, names in (("only", only or []), ("without", without), ("weights", list(weights))):
            for name in names:
                if name not in parent.names:
                    self.problem(key, f"{extends!r} has no principle {name!r}", known)
        left = parent.select(
            None if only is None else [name for name in only if name in parent.names],
            [name for name in without if name in parent.names],
        )
        for name in weights:
            if name in parent.names and name not in left.names:
                self.problem(f"weights.{name}", f"{name!r} gets a weight but is left out by `only` or `without`")
        return left.reweighted({name: weight for name, weight in weights.items() if name in left.names})

    def parent(self, extends: str) -> PrincipleSet | None:
        try:
            return self._find(extends)
        except ConfigError as error:
            for problem in error.problems:
                if problem.where:
                    self._problems.append(problem)  # it lies in the extended file
                else:
                    self.problem("extends", problem.message, problem.hint)
        return None

    def principles(self, items: Any) -> list[tuple[int, Principle]]:
        """The file's own principles that are in order, with their places."""
        if items is None:
            return []
        if not isinstance(items, list):
            self.problem("principles", f"must be a list, not {_shown(items)}")
            return []
        found: list[tuple[int, Principle]] = []
        seen: set[str] = set()
        for index, item in enumerate(items):
            key = f"principles[{index}]"
            before = len(self._problems)
            name, values = self.principle(item, key)
            if name is not None and name in seen:
                self.problem(f"{key}.name", f"{name!r} is given twice")
            if name is not None:
                seen.add(name)
            if len(self._problems) == before:
                found.append((index, Principle(**values)))
        return found

    def principle(self, item: Any, key: str) -> tuple[str | None, dict[str, Any]]:
        if not isinstance(item, dict):
            self.problem(key, f"must have `name` and `text`, not be {_shown(item)}")
            return None, {}
        self.keys(item, _PRINCIPLE_KEYS, key)
        name, text = self.text(item, "name", key, required=True), self.text(item, "text", key, required=True)
        negated = self.text(item, "negated", key)
        if name is not None and (name != name.strip() or "\n" in name):
            self.problem(f"{key}.name", f"{name!r} begins or ends with white space, or has a line break")
        if text is not None and negated is not None and text.strip() == negated.strip():
            self.problem(f"{key}.negated", "is the same as `text`", "say the opposite, or leave it out")
        weight = self.number(item.get("weight", 1.0), f"{key}.weight", positive=True)
        categories = self.weights(item.get("categories"), f"{key}.categories", positive=False)
        values = {
            "name": name,
            "text": (text or "").strip(),
            "negated": None if negated is None else negated.strip(),
            "weight": weight,
            "categories": categories,
            "tags": tuple(self.names(item, "tags", key) or ()),
            "title": (self.text(item, "title", key, may_be_empty=True) or "").strip(),
        }
        return name, values

    def keys(self, mapping: Mapping[Any, Any], known: Sequence[str], key: str) -> None:
        for name in mapping:
            if name not in known:
                path = f"{key}.{name}" if key else str(name)
                self.problem(path, "there is no such key", f"there are {', '.join(known)}")

    def text(
        self, mapping: Mapping[Any, Any], name: str, key: str, *, required: bool = False, may_be_empty: bool = False
    ) -> str | None:
        value, path = mapping.get(name), f"{key}.{name}" if key else name
        if value is None:
            if required:
                self.problem(path, "is required" if name not in mapping else "is empty")
            return None
        if not isinstance(value, str):
            self.problem(path, f"must be text, not {_shown(value)}", "put it in quotes")
            return None
        if not value.strip() and not may_be_empty:
            self.problem(path, "is empty")
            return None
        return value

    def names(self, mapping: Mapping[Any, Any], name: str, key: str = "") -> list[str] | None:
        value, path = mapping.get(name), f"{key}.{name}" if key else name
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.problem(path, f"must be a list of names, not {_shown(value)}")
            return None
        return value

    def weights(self, value: Any, key: str, *, positive: bool) -> dict[str, float]:
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            self.problem(key, f"must map names to numbers, not be {_shown(value)}")
            return {}
        return {name: self.number(each, f"{key}.{name}", positive=positive) for name, each in value.items()}

    def number(self, value: Any, key: str, *, positive: bool) -> float:
        try:
            number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and (number > 0 or (number == 0 and not positive)):
            return number
        self.problem(key, f"must be a number {'above 0' if positive else 'of 0 or more'}, not {_shown(value)}")
        return 1.0


def _key_lines(text: str) -> dict[str, int]:
    """Key path -> line of the file, from 1."""
    found: dict[str, int] = {}

    def walk(node: yaml.Node, path: str, depth: int) -> None:
        if depth > _DEPTH:
            return
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{path}.{key.value}" if path else str(key.value)
                found[name] = key.start_mark.line + 1
                walk(value, name, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                found[f"{path}[{index}]"] = value.start_mark.line + 1
                walk(value, f"{path}[{index}]", depth + 1)

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None:
        walk(root, "", 0)
    return found


def _shown(value: Any) -> str:
    return "nothing" if value is None else reprlib.repr(value)


class _Dumper(yaml.SafeDumper):
    """The safe dumper, but with every line break other than `\\n` escaped: PyYAML reads those back as spaces."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if re.search("[\r\x85\u2028\u2029]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def write_principle_yaml(principles: PrincipleSet, path: Path) -> None:
    """Writes a set as a file of its own; reading it gives the same set."""
    document: dict[str, Any] = {"name": principles.name}
    if principles.description:
        document["description"] = principles.description
    document["principles"] = [_item(principle) for principle in principles]
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    path.write_text(text, encoding="utf-8", newline="\n")


def _item(principle: Principle) -> dict[str, Any]:
    """A principle as its YAML mapping, without what is as by default."""
    item: dict[str, Any] = {"name": principle.name, "title": principle.title, "text": principle.text}
    item |= {"negated": principle.negated, "weight": principle.weight if principle.weight != 1 else None}
    item |= {"categories": dict(principle.categories), "tags": list(principle.tags)}
    return {key: value for key, value in item.items() if value not in (None, "", {}, [])}
