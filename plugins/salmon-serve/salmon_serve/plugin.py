"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_commands() -> Iterable[Component]:
    """The command `salmon serve`."""
    yield Component("serve", "salmon_serve.command:serve", "Serve the reward of a configuration or run over HTTP.")
