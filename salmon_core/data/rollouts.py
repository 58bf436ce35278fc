"""Rollouts of a training run with their rewards, as files that every backend leaves alike.

`rollouts/part-INDEX-WRITER.parquet` in the stage's folder holds those of one generated batch. A batch that a resumed
run generates again replaces its file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from salmon_core.data.parquet import DRAWN, read_table, write_rows
from salmon_core.records import RewardBreakdown, Rollout

ROLLOUTS = pa.schema(
    [
        ("rollout_index", pa.int64()),
        ("row", pa.int64()),
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("category", pa.string()),
        ("completion", pa.string()),
        ("completion_ids", pa.list_(pa.int32())),
        ("n_tokens", pa.int32()),
        ("stopped", pa.bool_()),
        ("principles", DRAWN),
        ("reward", pa.float64()),
        ("components", pa.map_(pa.string(), pa.float64())),
        ("by_principle", pa.map_(pa.string(), pa.float64())),
        ("left_out", pa.map_(pa.string(), pa.float64())),
        ("vetoed", pa.list_(pa.string())),
        ("text_ids", pa.list_(pa.string())),
        ("step", pa.int64()),
        ("kl", pa.float64()),
        ("interventions", pa.list_(pa.int32())),
    ]
)
FOLDER = "rollouts"
#: files that may wait for their thread
_AHEAD = 4


class RolloutLog:
    """Writes the rollouts of every N-th generated batch.

    Args:
        folder: the stage's.
        every: 0 writes none.
        writer: number of the process, where several write.
        pause: seconds between two writings of a file, for those who add a few rollouts at a time; `flush` at the end.
        aside: write in a thread, so that a trainer need not wait for the disk; it has to `settle` before it leaves a
            checkpoint that takes the rollouts as written.
    """

    def __init__(self, folder: Path, *, every: int, writer: int = 0, pause: float = 0.0, aside: bool = False):
        self._folder, self._every, self._writer, self._pause = folder / FOLDER, every, writer, pause
        self._batch: dict[int, list[dict[str, Any]]] = {}
        self._unwritten: set[int] = set()
        self._written = 0.0
        self._thread = ThreadPoolExecutor(1, "rollouts") if aside else None
        self._writing: list[Future[int]] = []

    def wants(self, rollout_index: int) -> bool:
        """Whether rollouts of this batch are written."""
        return bool(self._every) and rollout_index % self._every == 0

    def explained(self, rollout_index: int, rows: Sequence[int], every: int) -> list[int]:
        """Places of the rollouts that are to be explained principle by principle: every so many-th of those written.

        Which ones follows from batch and row alone, so it is the same in a resumed run and in every process.
        """
        if not (every and self.wants(rollout_index)):
            return []
        return [place for place, row in enumerate(rows) if (row + rollout_index // self._every) % every == 0]

    def add(
        self,
        rows: Sequence[int],
        rollouts: Sequence[Rollout],
        breakdowns: Sequence[RewardBreakdown],
        *,
        step: int | None = None,
        kl: Sequence[float] | None = None,
    ) -> None:
        """Writes rollouts, with those of the same batch that were added before; batches come in order.

        Args:
            rows: of `rl_prompts.parquet`; -1 for a rollout of none.
            rollouts: as they were scored, interventions among their principles.
            step: optimizer steps before this batch, where the trainer says it.
            kl: of each completion, in nats: sum of the trainer's estimates for its tokens, where it knows them.
        """
        begins = False
        known = [None] * len(rollouts) if kl is None else kl
        for row, rollout, breakdown, divergence in zip(rows, rollouts, breakdowns, known, strict=True):
            if self.wants(rollout.rollout_index):
                begins = begins or rollout.rollout_index not in self._batch
                self._unwritten.add(rollout.rollout_index)
                each = record(row, rollout, breakdown) | {"step": step, "kl": divergence}
                self._batch.setdefault(rollout.rollout_index, []).append(each)
        if begins or time.monotonic() - self._written >= self._pause:
            self.flush()

    def flush(self) -> None:
        """Writes what has not been written yet."""
        for index in sorted(self._unwritten):
            self._write(self._folder / f"part-{index:06d}-{self._writer}.parquet", list(self._batch[index]))
        self._unwritten.clear()
        self._written = time.monotonic()
        for index in sorted(self._batch)[:-2]:  # batches are generated one after the other
            del self._batch[index]

    def settle(self) -> None:
        """Everything is on the disk when this returns.

        Raises:
            OSError: something could not be written.
        """
        self.flush()
        while self._writing:
            self._writing.pop(0).result()

    def _write(self, path: Path, rows: list[dict[str, Any]]) -> None:
        if self._thread is None:
            self._put(path, rows)
            return
        while self._writing and (self._writing[0].done() or len(self._writing) >= _AHEAD):
            self._writing.pop(0).result()  # of a disk that is full a training hears at once
        self._writing.append(self._thread.submit(self._put, path, rows))

    def _put(self, path: Path, rows: list[dict[str, Any]]) -> int:
        return write_rows(path, rows, ROLLOUTS)


def record(row: int, rollout: Rollout, breakdown: RewardBreakdown) -> dict[str, Any]:
    """One row of `ROLLOUTS`."""
    return {
        "rollout_index": rollout.rollout_index,
        "row": row,
        "prompt_id": rollout.prompt_id,
        "prompt": rollout.prompt,
        "category": rollout.category,
        "completion": rollout.completion,
        "completion_ids": list(rollout.completion_ids),
        "n_tokens": rollout.n_tokens,
        "stopped": rollout.stopped,
        "principles": [asdict(principle) for principle in rollout.principles],
        "reward": breakdown.total,
        "components": list(breakdown.components.items()),
        "by_principle": list(breakdown.by_principle.items()),
        "left_out": list(breakdown.left_out.items()),
        "vetoed": list(breakdown.vetoed),
        "text_ids": [text_id(principle.text) for principle in rollout.principles],
        "step": None,
        "kl": None,
        "interventions": list(breakdown.interventions),
    }


@lru_cache(4096)
def text_id(text: str) -> str:
    """What a principle's wording is known by, whatever it is called."""
    return sha256(text.encode()).hexdigest()[:12]


def rollout_files(stage: Path) -> list[Path]:
    """The files of a stage's folder, in order of their batches."""
    return sorted((stage / FOLDER).glob("part-*.parquet"))


def read_rollout_rows(stage: Path) -> Iterator[dict[str, Any]]:
    """All rows of a stage's folder, `components`, `by_principle` and `left_out` as dictionaries."""
    for file in rollout_files(stage):
        for row in read_table(file, ROLLOUTS):
            yield row | {name: dict(row[name]) for name in ("components", "by_principle", "left_out")}
