"""Work outside of a run's stages, in a folder of its own, of whose progress somebody else is told as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from salmon_core.stages.work import PROGRESS, Told, Work

#: told (what is gone through, how much of it is done, of how much)
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class WatchedWork(Work):
    """Attributes:
    watch: who is told.
    """

    watch: Watch

    def progress(self, what: str, total: int) -> Told:
        """Told twice."""
        return _ToldTwice(self.path / PROGRESS, what, total, self.watch)


class _ToldTwice(Told):
    def __init__(self, path: Path, what: str, total: int, watch: Watch):
        super().__init__(path, what, total)
        self._watch = watch

    def __call__(self, done: int) -> None:
        super().__call__(done)
        self._watch(self._what, done, self._total)
