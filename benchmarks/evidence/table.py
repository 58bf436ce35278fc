"""Tables in Markdown: arms by numbers, and differences to the base with Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evidence.intervals import Interval, holm, paired
from evidence.question import Arm
from evidence.results import Read, Results

LEVEL = 0.05


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    return [
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * (len(head) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def arms_table(results: Results, arms: Sequence[Arm], columns: Mapping[str, Read], *, digits: int = 2) -> list[str]:
    """Means with intervals; arms without a run yet are left out."""
    rows = []
    for arm in arms:
        found = [results.interval(arm, read) for read in columns.values()]
        seeds = max((len(each.values) for each in found if each is not None), default=0)
        if seeds:
            rows.append([arm.name, str(seeds), *(_cell(each, digits) for each in found)])
    return markdown(["arm", "seeds", *columns], rows) if rows else ["No runs yet.", ""]


def _cell(found: Interval | None, digits: int) -> str:
    return "" if found is None else found.text(digits=digits)


def differences(results: Results, arms: Sequence[Arm], base: Arm, columns: Mapping[str, Read]) -> list[str]:
    """Paired by seed; a star where Holm's p over ALL cells of the table is below 0.05. Then what is so, in words."""
    cells = {
        (arm.name, name): paired(results.values(arm, read), results.values(base, read))
        for arm in arms
        for name, read in columns.items()
    }
    keys = list(cells)
    found = [cells[key] for key in keys]
    adjusted = dict(zip(keys, holm([None if each is None else each.p for each in found]), strict=True))
    rows, said = [], []
    for arm in arms:
        own = {name: cells[arm.name, name] for name in columns}
        if not any(own.values()):
            continue
        row = [arm.name, str(max(len(each.values) for each in own.values() if each is not None))]
        for name, each in own.items():
            p = adjusted[arm.name, name]
            sure = p is not None and p < LEVEL
            row.append("" if each is None else each.text(signed=True) + (" *" if sure else ""))
            if sure and each is not None:
                way = "raises" if each.mean > 0 else "lowers"
                said.append(f"`{arm.name}` {way} {name} by {abs(each.mean):.2f} (p = {p:.2g})")
        rows.append(row)
    if not rows:
        return ["No runs yet.", ""]
    counted = sum(p is not None for p in adjusted.values())
    table = markdown([f"arm, minus {base.name}", "seeds", *columns], rows)
    if not counted:
        return [*table, "One seed says nothing about chance: no comparison is made.", ""]
    told = "; ".join(said) if said else f"none of the {counted} differences"
    closing = f"Paired by seed, p by Holm over the {counted} comparisons of this table, * where below {LEVEL}: {told}."
    return [*table, closing, ""]
