"""What changed in a run, as one list: targets, components of the reward, and whatever evaluators measured twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from salmon_core.records import FEW

Moved = Literal["as wanted", "against", "up", "down", "not shown", "too few"]
TARGETS, COMPONENTS, PRINCIPLES = "targets", "components of the reward", "principles"
#: the reward and its components, early and late in training
TRAINING = "rewards in training"
#: keys of what evaluators say -> the group that it is shown in
_GROUPS = {"components": COMPONENTS, "left_out": PRINCIPLES}


@dataclass(frozen=True, slots=True)
class Change:
    """Something measured before and after.

    Attributes:
        group: what it is shown with.
        low: and `high`: the 95 % interval of the change.
        n: prompts, or what else the interval resamples; 0 where not said.
        wanted: which way it was to go; empty where nothing was said.
        note: what else to know, such as bonuses that reward it directly.
    """

    what: str
    group: str
    before: float
    after: float
    low: float
    high: float
    n: int
    wanted: Literal["more", "less", ""] = ""
    note: str = ""

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def moved(self) -> Moved:
        """Which way it surely went."""
        if 0 < self.n < FEW:
            return "too few"
        if self.low <= 0 <= self.high:
            return "not shown"
        up = self.low > 0
        if not self.wanted:
            return "up" if up else "down"
        return "as wanted" if up == (self.wanted == "more") else "against"


def changes(report: Mapping[str, Any]) -> list[Change]:
    """All that a report has, targets first. What is not as a report has it is passed over."""
    found = list(_targets(report))
    named = {each.what for each in found}
    for evaluator, values in (report.get("evaluators") or {}).items():
        for path, before, after, change in _measured(values, ()):
            group = next((_GROUPS[part] for part in path if part in _GROUPS), f"measured by {evaluator}")
            what = path[-1]
            if group.startswith("measured") and what in named:
                continue  # a target says it already
            found.append(
                Change(what, group, before["value"], after["value"], change["low"], change["high"], change["n"])
            )
    order = [TARGETS, COMPONENTS, PRINCIPLES]
    return sorted(found, key=lambda each: order.index(each.group) if each.group in order else len(order))


def grouped(found: Sequence[Change]) -> dict[str, list[Change]]:
    """By group, in order."""
    groups: dict[str, list[Change]] = {}
    for each in found:
        groups.setdefault(each.group, []).append(each)
    return groups


def _targets(report: Mapping[str, Any]) -> Iterator[Change]:
    for each in report.get("targets") or ():
        try:
            low, high = each["ci"]
            touched = each.get("touched_by") or ""
            note = f"rewarded by {touched} directly" if touched else ""
            wanted: Literal["more", "less", ""] = each.get("wanted") or ""
            yield Change(each["name"], TARGETS, each["before"], each["after"], low, high, each["n"], wanted, note)
        except (KeyError, TypeError, ValueError):
            continue


def _measured(values: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any, Any]]:
    """Every place with `before`, `after` and `change` as estimates."""
    if not isinstance(values, Mapping):
        return
    three = [values.get(key) for key in ("before", "after", "change")]
    if path and all(map(_is_estimate, three)):
        yield path, *three  # type: ignore[misc]  # three of them
        return
    for key, each in values.items():
        yield from _measured(each, (*path, str(key)))


def _is_estimate(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value.get(key), int | float) for key in ("value", "low", "high", "n")
    )
