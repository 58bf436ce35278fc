"""A line of progress for commands that take long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from salmon_core.cli.output import ERR

#: seconds between two lines of progress
_PAUSE = 10.0


@contextmanager
def watching() -> Iterator[Callable[[str, int, int], None]]:
    """Gives what is told (what is gone through, how much is done, of how much).

    On standard error; where that is no terminal, a line now and then.
    """
    if not ERR.is_terminal:
        last = time.monotonic()

        def tell(what: str, done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > _PAUSE:
                last = time.monotonic()
                ERR.print(f"{what} {done}/{total}", markup=False)

        yield tell
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True) as progress:
        task = progress.add_task("", total=None)

        def watch(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        yield watch
