"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_commands() -> Iterable[Component]:
    """The command `salmon card`."""
    yield Component("card", "salmon_card.command:card", "Examine a reward model: can its principles be trusted?")


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    """The same within a run."""
    yield Component("report-card", "salmon_card.evaluator:ReportCard", "the reward model's report card")
