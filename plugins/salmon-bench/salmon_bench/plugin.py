"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_commands() -> Iterable[Component]:
    """The command `salmon bench`."""
    yield Component("bench", "salmon_bench.command:bench", "Which principles does a reward model or a judge follow?")
