"""Runs beside each other: the settings that differ, and what each of them changed, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salmon_core.records import FEW
from salmon_core.seeing.changes import Change
from salmon_core.seeing.summary import Summary

#: settings that say which run it is and not how it was made
_NAMES = ("run.name", "run.folder")


@dataclass(frozen=True, slots=True)
class Differing:
    """A setting and its value in each run; None where a run has no such key."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure in all runs.

    Attributes:
        changes: of each run; None where it was not measured.
        apart: of each run but the first: its change minus the first's, with a 95 % interval (value, low, high); None
            where one of them has too few prompts.
    """

    what: str
    group: str
    changes: tuple[Change | None, ...]
    apart: tuple[tuple[float, float, float] | None, ...]


def differing(documents: Sequence[Mapping[str, Any]]) -> list[Differing]:
    """Settings that are not the same in all configurations, by their dotted keys; listed components by their names."""
    flat = [dict(_leaves(each, "")) for each in documents]
    keys = dict.fromkeys(key for each in flat for key in each)
    found = [Differing(key, tuple(each.get(key) for each in flat)) for key in keys if key not in _NAMES]
    return [each for each in found if any(value != each.values[0] for value in each.values[1:])]


def compared(runs: Sequence[Summary]) -> list[Compared]:
    """What was measured in any of them, group by group, in the order of the first that has it.

    The runs are independent, so the variances of their changes add up (a normal approximation by the intervals).
    """
    by_run = [{(each.group, each.what): each for each in run.changes} for run in runs]
    keys = dict.fromkeys(key for own in by_run for key in own)
    groups = list(dict.fromkeys(group for group, _ in keys))
    found = []
    for group, what in sorted(keys, key=lambda key: groups.index(key[0])):
        changes = tuple(own.get((group, what)) for own in by_run)
        found.append(Compared(what, group, changes, tuple(_apart(changes[0], each) for each in changes[1:])))
    return found


def _apart(one: Change | None, other: Change | None) -> tuple[float, float, float] | None:
    if one is None or other is None or any(0 < each.n < FEW for each in (one, other)):
        return None
    half = math.hypot(one.high - one.low, other.high - other.low) / 2
    value = other.change - one.change
    return value, value - half, value + half


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and (named := _named(value)):  # such as bonuses: one that differs is not lost among all
        for name, each in named.items():
            yield f"{key}.{name}", True
            for own, inner in each.items():
                yield from _leaves(inner, f"{key}.{name}.{own}")
        return
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves(each, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _named(items: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Components of a list by their names; empty where some have none, or two have one name."""
    named = {
        each["name"]: {key: value for key, value in each.items() if key != "name"}
        for each in items
        if isinstance(each, Mapping) and isinstance(each.get("name"), str)
    }
    return named if len(named) == len(items) else {}
