"""The processes that do stages' own work: one for stages in a row, but each model has a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from salmon_core.run.processes import Lock, Running, failure, run_step

#: last argument of a worker that waits for its next stage
GOES_ON = "--goes-on"
#: in the run's folder: a worker has done its stage, and waits; until then its files are its own
SIGN = ".waiting"
#: seconds that a worker gets to close its model
_CLOSING = 60.0


class Workers:
    """A context manager; at most one worker waits for its next stage.

    Args:
        folder: the run's.
    """

    def __init__(self, lock: Lock, folder: Path):
        self._lock, self._sign = lock, folder / SIGN
        self._waiting: Running | None = None
        self._model: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif self._waiting is not None:
            self._waiting.__exit__(kind, error, trace)
            self._sign.unlink(missing_ok=True)

    def close(self) -> int:
        """Ends the one that waits. -> its exit code; 0 where none does."""
        waiting, self._waiting, self._model = self._waiting, None, None
        self._sign.unlink(missing_ok=True)
        if waiting is None:
            return 0
        with waiting:
            waiting.tell("")
            deadline = time.monotonic() + _CLOSING
            while waiting.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            return waiting.poll() or 0

    def begin(self, model: Any) -> None:
        """A stage begins that asks this model, or none: a worker that had another one ends."""
        if model is not None and self._model is not None and model != self._model:
            self.close()
        self._model = self._model if model is None else model

    def work(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        watch: Callable[[], None],
        goes_on: bool,
    ) -> None:
        """Does a stage's own work to its end, as `run_step`, in the worker that waits or in a new one.

        Args:
            goes_on: keep the worker for the next stage.

        Raises:
            StageError: as `run_step`.
        """
        self._sign.unlink(missing_ok=True)
        if self._waiting is not None and not self._told(self._waiting, name):
            self.close()
        if self._waiting is None and not goes_on:
            run_step(name, argv, env=env, cwd=cwd, lock=self._lock, watch=watch)
            return
        log = cwd / "log.txt"
        start = log.stat().st_size if log.exists() else 0
        if self._waiting is None:
            (cwd / "error.json").unlink(missing_ok=True)
            self._waiting = Running([*argv, GOES_ON], env=env, cwd=cwd, log=log, lock=self._lock, talks=True)
        code: int | None = None
        while not self._sign.exists() and (code := self._waiting.poll()) is None:
            watch()
            time.sleep(0.05)
        watch()
        if code is not None or not goes_on:
            code = self.close() if code is None else code
            self.close()
            if code != 0:
                raise failure(name, code, log, start)

    @staticmethod
    def _told(waiting: Running, name: str) -> bool:
        return waiting.poll() is None and waiting.tell(name)
