"""The principle files SALMON published: JSON lists of objects with `dimension`, `definition`, and `negative_definition`
(for the reward model) or `weight` (for RL)."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Literal

from salmon_core.errors import ConfigError, DataError, Problem
from salmon_core.principles import Principle, PrincipleSet

_KEYS = ("dimension", "definition", "negative_definition", "weight")


def slug(title: str) -> str:
    """A title as a principle's name: `Honest and Accurate` -> `honest-and-accurate`."""
    return re.sub(r"[\W_]+", "-", title.lower()).strip("-") or title.strip()


def read_salmon_json(path: Path) -> PrincipleSet:
    """The set in a published file, named after the file; a dimension becomes the title and, as a slug, the name.

    Raises:
        ConfigError: everything wrong with the file.
    """
    try:
        items = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), "there is no such file")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), f"is not UTF-8 text (byte {error.start})")]) from None
    except json.JSONDecodeError as error:
        raise ConfigError([Problem(f"{path}:{error.lineno}", f"not valid JSON: {error.msg}")]) from None
    except RecursionError:
        raise ConfigError([Problem(str(path), "is nested too deeply")]) from None
    if not isinstance(items, list) or not items:
        raise ConfigError([Problem(str(path), "is not a list of principles", f"objects with {', '.join(_KEYS[:2])}")])
    problems: list[Problem] = []
    principles: dict[str, Principle] = {}
    for index, item in enumerate(items):
        where = f"{path}: [{index}]"
        wrong = _wrong(item, where)
        if not wrong:
            title = item["dimension"].strip()
            name = slug(title)
            if name in principles:
                wrong = [Problem(f"{where}.dimension", f"{title!r} is given twice (as {name!r})")]
            else:
                principles[name] = Principle(
                    name,
                    item["definition"].strip(),
                    item["negative_definition"].strip() if "negative_definition" in item else None,
                    float(item.get("weight", 1.0)),
                    title="" if title == name else title,
                )
        problems += wrong
    if problems:
        raise ConfigError(problems)
    return PrincipleSet(path.stem, tuple(principles.values()))


def _wrong(item: Any, where: str) -> list[Problem]:
    if not isinstance(item, dict):
        return [Problem(where, "is not an object", f"it needs {' and '.join(_KEYS[:2])}")]
    problems = [
        Problem(f"{where}.{key}", "there is no such key", f"there are {', '.join(_KEYS)}")
        for key in item
        if key not in _KEYS
    ]
    for key in _KEYS[:3]:
        if key not in item and key == "negative_definition":
            continue
        if not isinstance(item.get(key), str) or not item[key].strip():
            problems.append(Problem(f"{where}.{key}", "must be text that is not empty"))
    weight = item.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= sys.float_info.max:
        problems.append(Problem(f"{where}.weight", "must be a number above 0"))
    return problems


def write_salmon_json(principles: PrincipleSet, path: Path, *, kind: Literal["reward-model", "rl"]) -> None:
    """Writes the published format, which has no place for categories and tags.

    Args:
        kind: `reward-model` writes negated texts, `rl` writes weights.

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
    path.write_text(json.dumps(items, ensure_ascii=False, indent=2) + "\n", encoding="utf-8", newline="\n")
