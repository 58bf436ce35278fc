"""Answers of a run, as its evaluators sampled them, read by the oracle again: rates of groups of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from evidence.intervals import Interval
from evidence.question import Arm
from evidence.results import Results
from evidence.table import markdown
from salmon_core.data import parquet
from salmon_minnow.oracle import read
from salmon_minnow.prompts import as_prompt
from salmon_minnow.world import PROMPTS, WorldPrompt

_BY_ID = {as_prompt(prompt).id: prompt for prompt in PROMPTS}
_SAMPLES = 8


def answers(results: Results, arm: Arm, seed: int, role: str) -> list[tuple[WorldPrompt, str]]:
    """To held-out prompts; empty where there are none yet."""
    file = results.folder.run(arm, seed) / "evaluate" / f"samples-{role}-{_SAMPLES}.parquet"
    if not file.exists():
        return []
    rows = parquet.read_rows(file, parquet.COMPLETIONS, parquet.to_completion)
    return [(_BY_ID[row.prompt_id], row.text) for row in rows]


def group_rate(
    results: Results, arm: Arm, role: str, quality: str, group: str, names: Sequence[str]
) -> Interval | None:
    """The share of answers with a quality, of prompts whose `group` (kind, language) is one of `names`, by seed."""
    found = {}
    for seed in results.seeds:
        said = answers(results, arm, seed, role) if results.report(arm, seed) is not None else []
        values = [float(getattr(read(p, text), quality)) for p, text in said if getattr(p, group) in names]
        if values:
            found[seed] = fmean(values)
    return Interval.of(found) if found else None


def rate_where(
    results: Results, arms: Sequence[Arm], group: str, names: Sequence[str], qualities: Sequence[str]
) -> list[str]:
    """A table: rates before and after RL on prompts of these groups."""
    rows = []
    for arm in arms:
        cells, seeds = [], 0
        for quality in qualities:
            for role in ("initial", "policy"):
                found = group_rate(results, arm, role, quality, group, names)
                cells.append("" if found is None else found.text())
                seeds = max(seeds, 0 if found is None else len(found.values))
        if seeds:
            rows.append([arm.name, str(seeds), *cells])
    head = [f"{quality} {when}" for quality in qualities for when in ("before", "after")]
    return markdown(["arm", "seeds", *head], rows) if rows else []
