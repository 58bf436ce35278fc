"""Where a stage works: its files, shard by shard, how far it is, and what it has to say."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from salmon_core.calls import alive, heard
from salmon_core.data import parquet
from salmon_core.data.files import write_text
from salmon_core.data.json import write_json
from salmon_core.plugins.registry import Registry
from salmon_core.run.folder import StageFolder
from salmon_core.run.notes import note
from salmon_core.run.outputs import Outputs

T = TypeVar("T")
METRICS = "metrics.json"
PROGRESS = "progress.json"


class Told:
    """How far a stage's work is, in a file that `salmon run` reads.

    Args:
        what: it goes through.
        total: of these.
    """

    def __init__(self, path: Path, what: str, total: int):
        self._path, self._what, self._total = path, what, total
        self._done, self._most, self._last = 0, 0, 0.0

    def __call__(self, done: int) -> None:
        """So many are done."""
        alive()
        self._done = done
        self._tell(done)

    @contextmanager
    def upto(self, done: int) -> Iterator[None]:
        """In the block, as many are worked on at once as there are left up to `done`; then they are done."""
        begun = self._done
        with heard(lambda share: self._tell(begun + int(share * (done - begun)))):
            yield
        self(done)

    def _tell(self, done: int) -> None:
        now, done = time.monotonic(), max(done, self._most)  # an engine may go through a few of them twice
        self._most = done
        if now - self._last > 0.2 or done >= self._total:
            self._last = now
            write_json(self._path, {"done": done, "total": self._total, "what": self._what})


@dataclass(frozen=True)
class Work:
    """Where a stage works.

    Attributes:
        folder: its own.
        cache: a folder that outlives changes of the configuration.
        registry: builds components.
    """

    folder: StageFolder
    cache: Path
    registry: Registry

    @property
    def path(self) -> Path:
        """The folder's path."""
        return self.folder.path

    def progress(self, what: str, total: int) -> Told:
        """Tells `salmon run` how far the work is, a few times a second."""
        return Told(self.path / PROGRESS, what, total)

    def parts(self, total: int, size: int, name: str = "part") -> dict[int, str]:
        """Shards still to be made, by the index of their first item. What was not written to its end is made again.

        Args:
            name: that the files begin with.
        """
        done = Outputs(self.path)
        parts = {start: f"{name}-{start // size:05d}.parquet" for start in range(0, total, size)}
        return {start: part for start, part in parts.items() if not done.has(self.path / part)}

    def shards(
        self, items: Iterable[T], total: int, size: int, name: str = "part"
    ) -> Iterator[tuple[str, int, list[T]]]:
        """The same with the items of each: (file, index of its first item, items)."""
        parts, left = self.parts(total, size, name), iter(items)
        for start in range(0, total, size):
            own = list(islice(left, size))
            if start in parts:
                yield parts[start], start, own

    def has(self, name: str) -> bool:
        """Whether a file of the stage was written to its end."""
        return Outputs(self.path).has(self.path / name)

    def write_rows(self, name: str, rows: Iterable[Any], schema: Any) -> int:
        """A Parquet file of the stage, whole or not at all; the number of its rows."""
        count = parquet.write_rows(self.path / name, rows, schema)
        Outputs(self.path).add(self.path / name)
        return count

    def write_text(self, name: str, text: str) -> None:
        """Another file of the stage, whole or not at all."""
        write_text(self.path / name, text)
        Outputs(self.path).add(self.path / name)

    def note(self, text: str) -> None:
        """Tells whoever watches the run what a person should know."""
        note(self.path, text)


def write_metrics(work: Work, values: Mapping[str, Any]) -> None:
    """A stage's numbers, for its manifest and the console."""
    write_json(work.path / METRICS, dict(values))
