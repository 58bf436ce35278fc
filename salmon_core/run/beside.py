"""The one process that a run may have beside its trainer's, for what takes models while training goes on.

Whoever wants something done waits until it is free: alarms' answers and monitors' measurements never load two models at
once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmon_core.data.json import read_json, write_json
from salmon_core.errors import SalmonError
from salmon_core.run.processes import ENVIRONMENT, Running, failure

#: seconds for one piece of work, at most
LIMIT = 1800.0


@dataclass(frozen=True)
class Errand:
    """A piece of work.

    Attributes:
        module: run as `python -m MODULE ASKED FOUND`; it leaves a JSON object in FOUND.
        folder: of the files.
        name: that theirs begin with.
    """

    module: str
    folder: Path
    name: str

    def file(self, what: str, ending: str = ".json") -> Path:
        """One of its files: `asked`, `found`, `log`."""
        return self.folder / f"{self.name}-{what}{ending}"

    def clear(self) -> None:
        """Removes what was asked and found, and the log."""
        for file in (self.file("asked"), self.file("found"), self.file("log", ".txt")):
            file.unlink(missing_ok=True)


class Beside:
    """Does one errand at a time."""

    def __init__(self) -> None:
        self._errand: Errand | None = None
        self._running: Running | None = None
        self._started = 0.0

    @property
    def free(self) -> bool:
        """Whether nothing is done now."""
        return self._errand is None

    def doing(self, errand: Errand) -> bool:
        """Whether it is this that is done now."""
        return self._errand == errand

    def begin(self, errand: Errand, asked: Mapping[str, Any]) -> None:
        """Starts; has to be `free`."""
        assert self.free
        errand.folder.mkdir(exist_ok=True)
        for file in (errand.file("found"), log := errand.file("log", ".txt")):
            file.unlink(missing_ok=True)
        write_json(errand.file("asked"), asked)
        argv = [sys.executable, "-m", errand.module, *(str(errand.file(what)) for what in ("asked", "found"))]
        self._running = Running(argv, env=ENVIRONMENT, cwd=errand.folder, log=log)
        self._errand, self._started = errand, time.monotonic()

    def result(self) -> dict[str, Any] | SalmonError | None:
        """What was found, or why nothing was; None while it is not done. Frees it."""
        assert self._errand is not None
        assert self._running is not None
        errand, code = self._errand, self._running.poll()
        if code is None and time.monotonic() - self._started < LIMIT:
            return None
        self.drop()
        found = read_json(errand.file("found"))
        if isinstance(found, dict):
            return found
        if code is None:
            return SalmonError(f"took more than {LIMIT:.0f} s")
        return failure(errand.name, code, errand.file("log", ".txt"))

    def drop(self) -> None:
        """Ends what is done."""
        if self._running is not None:
            self._running.__exit__()
        self._errand = self._running = None
