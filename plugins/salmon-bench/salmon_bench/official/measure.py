"""A subject's scores on a file of another benchmark, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from salmon_bench.board import Result
from salmon_bench.examine import Watch
from salmon_bench.figures import Figure
from salmon_bench.official.case import Case, Compare, compared
from salmon_bench.official.formats import Format
from salmon_bench.subject import Question, Subject
from salmon_core.rng import named_rng

_DRAWS = 200


def measure(
    subject: Subject,
    found: Format,
    cases: Sequence[Case],
    folder: Path,
    *,
    watch: Watch = lambda what, done, total: None,
) -> Result:
    """Its scores as the benchmark's own code makes them; texts that it has no room for are cut, as there, and counted.

    Raises:
        SalmonError: it cannot be asked.
    """
    total = sum(len(case.needed) or len(case.answers) for case in cases)
    cut = sum(not _fits(subject, case) for case in cases)
    compare, asked = compared(subject, cases, folder, lambda done: watch(subject.name, done, total))
    judge = subject.sort == "judge"
    scores = found.average(cases, compare, judge)
    intervals = _intervals(found, cases, compare, judge)
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.section] = counts.get(case.section, 0) + 1
    figures = tuple(
        Figure("score", name, value, *intervals[name], counts.get(name, len(cases)), asked)
        for name, value in scores.items()
    )
    note = f"{cut} of {len(cases)} prompts have a text that was cut. " if cut else ""
    return Result(subject.name, subject.sort, asked, len(cases), 0, figures, note + found.note)


def _fits(subject: Subject, case: Case) -> bool:
    others = range(1, len(case.answers))
    return all(subject.fits(Question(case.messages, (case.answers[0], case.answers[other]))) for other in others)


def _intervals(
    found: Format, cases: Sequence[Case], compare: Compare, judge: bool
) -> Mapping[str, tuple[float, float]]:
    """Percentiles of a bootstrap that draws groups of cases within each section."""
    strata: dict[str, dict[str, list[Case]]] = {}
    for case in cases:
        strata.setdefault(case.section, {}).setdefault(case.group, []).append(case)
    rng = named_rng(0, "bench", found.name)
    drawn: dict[str, list[float]] = {}
    for _ in range(_DRAWS):
        some: list[Case] = []
        for groups in strata.values():
            names = list(groups)
            for number in range(len(names)):
                group = names[int(rng.random() * len(names))]
                some += [replace(case, group=f"{number} {case.group}") for case in groups[group]]
        for name, value in found.average(some, compare, judge).items():
            drawn.setdefault(name, []).append(value)
    return {name: _middle(sorted(values)) for name, values in drawn.items()}


def _middle(values: Sequence[float]) -> tuple[float, float]:
    cut = round(0.025 * len(values))
    return values[cut], values[-1 - cut]
