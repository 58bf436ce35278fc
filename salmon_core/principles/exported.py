"""A principle set in the formats that others read, and what of it has no place there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.principles.salmon_json import salmon_json


@dataclass(frozen=True)
class _Target:
    """A format.

    Attributes:
        write: the text of a set.
        keeps: what of a principle it has a place for, beside the text.
    """

    write: Callable[[PrincipleSet], str]
    keeps: frozenset[str]


#: what of a principle can be lost: name, how it is called, whether a principle has it
_PARTS: tuple[tuple[str, str, Callable[[Principle], bool]], ...] = (
    ("name", "name", lambda principle: True),
    ("title", "title", lambda principle: bool(principle.title)),
    ("negated", "negated text", lambda principle: principle.negated is not None),
    ("weight", "weight", lambda principle: principle.weight != 1),
    ("categories", "weights by category", lambda principle: bool(principle.categories)),
    ("tags", "tags", lambda principle: bool(principle.tags)),
    ("source", "source", lambda principle: bool(principle.source)),
)


def export_principles(principles: PrincipleSet, name: str) -> tuple[str, list[str]]:
    """The text of a set in a format, and what of the set is not in it.

    Args:
        name: one of `TARGETS`.
    """
    target = _TARGETS[name]
    keeps = target.keeps
    if name == "salmon-json":
        keeps |= {"negated"} if _all_negated(principles) else {"weight"}
    lost = []
    for part, called, has in _PARTS:
        if part not in keeps and (names := [each.name for each in principles if has(each)]):
            lost.append(f"{called} of {_named(names)}")
    if principles.description and "description" not in keeps:
        lost.append("the set's description")
    if name in ("text", "markdown") and (names := [each.name for each in principles if "\n" in each.text.strip()]):
        lost.append(f"line breaks in the text of {_named(names)}")
    return target.write(principles), lost


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def _all_negated(principles: Iterable[Principle]) -> bool:
    return all(each.negated is not None for each in principles)


def published_json(principles: PrincipleSet) -> str:
    """In the published format: with negated texts where every principle has one, else with weights."""
    return salmon_json(principles, kind="reward-model" if _all_negated(principles) else "rl")


def _yaml(principles: PrincipleSet) -> str:
    from salmon_core.principles.yaml import principle_yaml

    return principle_yaml(principles)


def _text(principles: PrincipleSet) -> str:
    return "".join(f"{_line(each.text)}\n" for each in principles)


def _markdown(principles: PrincipleSet) -> str:
    parts = [f"# {_line(principles.name)}", *filter(None, [_line(principles.description)])]
    for each in principles:
        parts += [f"## {_line(each.title or each.name)}", _line(each.text)]
    return "\n\n".join(parts) + "\n"


def _requirements(principles: PrincipleSet) -> str:
    items: list[dict[str, Any]] = [
        {"weight": int(each.weight) if float(each.weight).is_integer() else each.weight, "requirement": each.text}
        for each in principles
    ]
    return json.dumps(items, ensure_ascii=False, indent=2) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


_EVERYTHING = frozenset({"description", *(name for name, _, _ in _PARTS)})
_TARGETS: dict[str, _Target] = {
    "yaml": _Target(_yaml, _EVERYTHING),
    "salmon-json": _Target(published_json, frozenset({"title", "name"})),
    "text": _Target(_text, frozenset()),
    "markdown": _Target(_markdown, frozenset({"name", "title", "description"})),
    "requirements": _Target(_requirements, frozenset({"weight"})),
}
TARGETS = tuple(_TARGETS)
