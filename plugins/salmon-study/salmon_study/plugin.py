"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_commands() -> Iterable[Component]:
    """The commands `salmon study ...`."""
    yield Component("study", "salmon_study.command:study", "Blind studies: do people see the difference?")
