"""A time limit for plugins' code that blocks in the process of the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape

from salmon_core.cli.output import ERR
from salmon_core.config.run_config import RunConfig
from salmon_core.errors import SalmonError
from salmon_core.run.watch import watched

#: in a run's folder: where the code stood
BLOCKED = "blocked.txt"


@contextmanager
def patient(config: RunConfig, folder: Path) -> Iterator[None]:
    """In the block, what gives no sign of life for `run.call_timeout` seconds ends the command, and is named.

    Args:
        folder: the run's.
    """
    with watched(_print, seconds=config.config.run.call_timeout, stacks=folder / BLOCKED):
        yield


def _print(error: SalmonError) -> None:
    ERR.print(escape(f"error: {error}"))
