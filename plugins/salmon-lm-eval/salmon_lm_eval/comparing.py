"""The harness's results before and after, put against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

_Z = 1.959964
#: keys of a task's results that are no metrics
_ASIDE = ("name", "alias", "sample_len")


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of one task or group.

    Attributes:
        metric: as the harness has it: `acc,none`, the name and the filter.
        before: and `after`: its values; their standard errors where the harness gives them.
        ci: the 95 % interval of the change; None where nothing tells it.
        paired: whether it comes from the differences document by document, rather than from both standard errors.
        n: documents.
        inner: whether the task is part of a group that is shown as well.
    """

    task: str
    metric: str
    before: float
    after: float
    errors: tuple[float | None, float | None]
    ci: tuple[float, float] | None
    paired: bool
    n: int
    wanted: Literal["more", "less", ""]
    inner: bool

    @property
    def name(self) -> str:
        """For people: without a filter that is none."""
        return f"{self.task} {self.metric.removesuffix(',none').replace(',', ' ')}"

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        change: dict[str, Any] = {"value": self.after - self.before, "paired": self.paired, "n": self.n}
        if self.ci is not None:
            change |= {"low": self.ci[0], "high": self.ci[1]}
        sides = {}
        for side, value, error in zip(("before", "after"), (self.before, self.after), self.errors, strict=True):
            sides[side] = {"value": value, **({} if error is None else {"stderr": error})}
        return {**sides, "change": change}


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Compared]:
    """Every metric that is a number before and after.

    Args:
        before: as `harness.results_of` gives it.
    """
    groups: Mapping[str, list[str]] = after.get("group_subtasks", {})
    inner = {name for names in groups.values() for name in names}
    for task, own in after["results"].items():
        earlier = before["results"].get(task, {})
        for metric, value in own.items():
            name, _, rest = metric.partition(",")
            old = earlier.get(metric)
            if metric in _ASIDE or name.endswith("_stderr") or not (_finite(value) and _finite(old)):
                continue
            errors = tuple(each.get(f"{name}_stderr,{rest}") for each in (earlier, own))
            one, other = (error if _finite(error) else None for error in errors)
            leaves = sorted(_leaves(task, groups))
            documents, later = (_documents(each, leaves, metric) for each in (before, after))
            ci, paired = _paired(documents, later, old, value), True
            if ci is None:
                paired = False
                if one is not None and other is not None:
                    half = _Z * math.hypot(one, other)
                    ci = (value - old - half, value - old + half)
            better = after.get("higher_is_better", {}).get(task, {}).get(name)
            yield Compared(
                task,
                metric,
                float(old),
                float(value),
                (one, other),
                ci,
                paired and ci is not None,
                len(later) or _counted(after, leaves),
                {True: "more", False: "less"}.get(better, ""),  # type: ignore[arg-type]
                task in inner,
            )


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _leaves(name: str, groups: Mapping[str, list[str]], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    if not groups.get(name):
        yield name
    for child in groups.get(name, ()):
        if child not in seen:
            yield from _leaves(child, groups, seen | {name})


def _documents(results: Mapping[str, Any], leaves: list[str], metric: str) -> dict[tuple[str, str], float]:
    scores = results.get("scores", {})
    return {(leaf, doc): value for leaf in leaves for doc, value in scores.get(leaf, {}).get(metric, {}).items()}


def _paired(
    before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float], old: float, value: float
) -> tuple[float, float] | None:
    """Of a mean over the same documents: that of their differences; None of anything else."""
    n = len(after)
    if n < 2 or before.keys() != after.keys():
        return None
    means = [sum(own.values()) / n for own in (before, after)]
    if not all(
        math.isclose(mean, told, rel_tol=1e-9, abs_tol=1e-9) for mean, told in zip(means, (old, value), strict=True)
    ):
        return None
    differences = [after[key] - before[key] for key in after]
    middle = sum(differences) / n
    half = _Z * math.sqrt(sum((each - middle) ** 2 for each in differences) / (n - 1) / n)
    return middle - half, middle + half


def _counted(results: Mapping[str, Any], leaves: list[str]) -> int:
    """Documents, as the harness counts them."""
    counts = results.get("n-samples", {})
    return sum(int(counts.get(leaf, {}).get("effective", 0)) for leaf in leaves)
