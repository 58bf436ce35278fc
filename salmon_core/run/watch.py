"""A time limit for plugins' code that blocks: in each process of a run a thread looks whether anything still moves."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from salmon_core.calls import still
from salmon_core.data.files import abandon
from salmon_core.errors import PluginError

#: by which the processes of a run know the limit, in seconds
LIMIT = "SALMON_CALL_TIMEOUT"


@contextmanager
def inherited(seconds: float | None) -> Iterator[None]:
    """Processes that are started in the block have this limit; None: no limit."""
    before = os.environ.pop(LIMIT, None)
    if seconds is not None:
        os.environ[LIMIT] = str(seconds)
    try:
        yield
    finally:
        os.environ.pop(LIMIT, None)
        if before is not None:
            os.environ[LIMIT] = before


@contextmanager
def watched(
    leave: Callable[[PluginError], None], *, seconds: float | None = None, stacks: Path | None = None
) -> Iterator[None]:
    """In the block, a call that does not move for too long ends the process with exit code 1.

    A thread that blocks cannot be made to go on, so the process ends at once, after the stacks of all threads were
    written.

    Args:
        leave: leaves the failure where whoever started the process finds it.
        seconds: the limit; None: what `inherited` gave this process, or none.
        stacks: a file for them; None: stderr, which is a step's log.
    """
    limit = seconds if seconds is not None else float(os.environ.get(LIMIT) or 0)
    if not limit:
        yield
        return
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(min(1.0, limit / 4)):
            call, idle = still()
            if call is None or idle < limit:
                continue
            _dump(stacks)
            hint = f"its stack is in {stacks or 'the log'}; raise run.call_timeout if it only needs longer"
            leave(PluginError(call.plugin, f"gave no sign of life for {limit:g} s", what=call.what, hint=hint))
            abandon()
            os._exit(1)

    threading.Thread(target=look, name="salmon-watch", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _dump(stacks: Path | None) -> None:
    """The stacks of all threads, where that can be written."""
    with contextlib.suppress(OSError):
        if stacks is None:
            faulthandler.dump_traceback(2, all_threads=True)
            return
        with stacks.open("w", encoding="utf-8") as file:
            faulthandler.dump_traceback(file, all_threads=True)
