"""What pydantic found wrong, as problems with their places."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from salmon_core.errors import Problem

#: places that a hint names at most
_FEW = 3


def problems_of(
    error: ValidationError,
    where: str,
    model: type[BaseModel] | None = None,
    *,
    beside: Collection[str] = (),
    elsewhere: Mapping[str, Collection[str]] | None = None,
) -> list[Problem]:
    """pydantic's errors, each at its key path such as `principles[2].weight`, with the path `where` before it.

    Args:
        model: what was validated; with it an unknown key is told the nearest one that is known in its place.
        beside: keys that may be written in the outermost mapping beside the model's.
        elsewhere: for every key the places of the whole document that know it, as in `places_of`.
    """
    problems = []
    for item in error.errors(include_url=False):
        path = where
        for part in item["loc"]:
            if part != "[key]":  # a mapping's key itself, which the path ends with already
                path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else str(part))
        message, hint = item["msg"].removeprefix("Value error, "), None
        if item["type"].endswith("_parsing"):  # `..., unable to parse string as an integer`
            message = message.partition(", ")[0]
        elif item["type"] == "tuple_type":  # of what people write, a tuple is a list
            message = "Input should be a valid list"
        if item["type"] == "extra_forbidden":
            message = "there is no such option"
            if model is not None and item["loc"]:
                *outer, key = map(str, item["loc"])
                known = {*_keys_at(model, outer), *(() if outer else beside)}
                near = did_you_mean(key, known)
                message, hint = message + near, _elsewhere(key, path, known, near, elsewhere)
        elif item["type"] == "missing":
            message = "is required"
        elif item["type"] in ("model_type", "dict_type", "dataclass_type"):
            message = f"has to be a mapping of keys to values, not {shown(item['input'])}"
        elif "input" in item and item["type"] != "value_error":
            message += f", not {shown(item['input'])}"
        if item["type"] == "string_type" and isinstance(item["input"], int | float | date):
            hint = "put it in quotes"
        problems.append(Problem(path or "configuration", message, hint))
    return problems


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest one that there is, or nothing."""
    close = get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def places_of(model: type[BaseModel]) -> dict[str, list[str]]:
    """For every key of a document the mappings that have it, such as `reward.interventions[]`; the outermost is ``."""
    found: dict[str, list[str]] = {}

    def look(inner: type[BaseModel], place: str) -> None:
        for key, field in _fields(inner).items():
            found.setdefault(key, []).append(place)
            path = f"{place}.{key}" if place else key
            for below, listed in _models_in(field):
                look(below, path + ("[]" if listed else ""))

    look(model, "")
    return found


def _elsewhere(
    key: str, path: str, known: Collection[str], near: str, elsewhere: Mapping[str, Collection[str]] | None
) -> str | None:
    """Where else in the document an unknown key may belong, as a hint."""
    if elsewhere is None:
        return None
    places = list(elsewhere.get(key, ()))
    if 1 <= len(places) <= _FEW:
        named = [f"under `{place}`" if place else "at the top level of the file" for place in places]
        where = " or ".join(named)
        return f"there is one {where}" if near else f"it belongs {where}"
    if not near and "options" in known:
        return f"if it is the trainer's, it goes under `{path.removesuffix(key)}options`"
    return None


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    """Annotations by key, as a document writes the key."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _models_in(annotation: Any, *, listed: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models that a value of this type may be or hold, and whether it holds them in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, listed
        return
    for argument in get_args(annotation):
        yield from _models_in(argument, listed=listed or getattr(annotation, "__origin__", None) in (list, tuple))


def _keys_at(model: type[BaseModel], path: Iterable[str]) -> set[str]:
    """The keys of the mapping at a path of pydantic's, which has tags of unions in it as well."""
    here = [model]
    for part in path:
        inner = [below for each in here for below, _ in _models_in(_fields(each).get(part))]
        # Anything else is an index, a mapping's key, or the name of the model that was tried.
        here = inner or [each for each in here if each.__name__ == part] or here
    return {key for each in here for key in _fields(each)}


def shown(value: Any) -> str:
    """A value in a message, at most 60 characters of it."""
    try:
        text = "null" if value is None else str(value) if isinstance(value, date) else repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."
