"""A configuration file, and changes to it, as a `Config`: phase one of its validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from salmon_core.config.schema import Config
from salmon_core.data.validation import places_of, problems_of
from salmon_core.data.yaml import parse_yaml, read_yaml
from salmon_core.errors import ConfigError, Problem


def read_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """A configuration file with `key.path=value` overrides (values are YAML).

    Raises:
        ConfigError: all that is wrong with its shape.
    """
    return parse_config(read_yaml(path), str(path), overrides)


def parse_config(document: Any, where: str = "", overrides: Sequence[str] = ()) -> Config:
    """A configuration from plain data; see `read_config`."""
    if not isinstance(document, Mapping):
        raise ConfigError([Problem(where, "is empty" if document is None else "is not a mapping of keys to values")])
    try:
        values = _plain(document)
    except RecursionError:
        raise ConfigError([Problem(where, "contains itself, by way of a YAML anchor")]) from None
    problems: list[Problem] = []
    for override in overrides:
        try:
            problems += filter(None, [_override(values, override)])
        except ConfigError as error:
            problems += error.problems
    problems += _zeros(values, "")
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += problems_of(error, "", Config, elsewhere=places_of(Config))
    if problems:
        raise ConfigError([replace(problem, file=where) for problem in problems])
    return config


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _zeros(value: Any, where: str) -> Iterator[Problem]:
    """Texts with a zero character, which YAML can write and no path can have."""
    if isinstance(value, str) and "\0" in value:
        yield Problem(where, "has a zero character")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _zeros(item, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _zeros(item, f"{where}[{index}]")


def _override(values: dict[str, Any], override: str) -> Problem | None:
    """Sets one `a.b.0.c=value` in place."""
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    if not equals or not key:
        return Problem(where, "is not KEY=VALUE")
    place: Any = values
    parts = key.split(".")
    for part in parts[:-1]:
        if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, dict):
            if isinstance(place.get(part), str):  # a bare NAME gets options
                place[part] = {"name": place[part]}
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
        else:
            return Problem(where, f"there is no {part!r} to go into")
    try:
        value = _plain(parse_yaml(text, where))
    except RecursionError:
        return Problem(where, "contains itself, by way of a YAML anchor")
    last = parts[-1]
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        return Problem(where, f"there is no {last!r} to set")
    return None
