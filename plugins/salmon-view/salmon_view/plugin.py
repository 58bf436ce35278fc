"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_commands() -> Iterable[Component]:
    """The command `salmon view`."""
    yield Component("view", "salmon_view.command:view", "Look at runs in the browser, steer them, try their reward.")


@hookimpl
def salmon_reports() -> Iterable[Component]:
    """`salmon report --html`."""
    yield Component("html", "salmon_view.export:write", "one self-contained HTML file")
