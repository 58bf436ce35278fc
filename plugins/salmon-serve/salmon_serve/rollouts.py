"""Writes a job's scored rollouts and principles' sums, from the scoring thread and seldom enough not to hold it up."""

from __future__ import annotations

import time
from collections.abc import Sequence

from salmon_core.data.principle_means import PrincipleSums
from salmon_core.data.rollouts import RolloutLog
from salmon_core.records import RewardBreakdown, Rollout

#: seconds without work after which what was collected is written, and seconds after which it is written anyway
IDLE, LATEST = 0.2, 2.0


class RolloutWriter:
    """Collects scored rollouts and hands them to the log together.

    A generated batch is one file, and adding to it writes it anew. Trainers ask for one rollout at a time, so writing
    after every few of them would take a time that grows with the square of the batch.

    Args:
        log: of the job's folder.
        sums: of the same; every batch is added to them, logged or not.
    """

    def __init__(self, log: RolloutLog, sums: PrincipleSums):
        self._log, self._sums = log, sums
        self._pending: list[tuple[int, Rollout, RewardBreakdown]] = []
        self._since = 0.0

    @property
    def pending(self) -> bool:
        """Whether something is collected that is not written yet."""
        return bool(self._pending) or self._sums.pending

    @property
    def due(self) -> bool:
        """Whether it is to be written even though there is work."""
        return self.pending and time.monotonic() - self._since >= LATEST

    def add(self, scored: Sequence[tuple[int, Rollout, RewardBreakdown]]) -> None:
        """Collects (row, rollout, breakdown) of those batches that are logged; of the others only sums are kept."""
        begins = not self.pending
        self._sums.add((rollout.rollout_index, breakdown) for _, rollout, breakdown in scored)
        self._pending += [each for each in scored if self._log.wants(each[1].rollout_index)]
        if begins and self.pending:
            self._since = time.monotonic()

    def explains(self, row: int, rollout_index: int, every: int) -> bool:
        """Whether this rollout is to be explained principle by principle."""
        return bool(self._log.explained(rollout_index, [row], every))

    def write(self) -> None:
        """Writes what was collected.

        Raises:
            OSError: it cannot be written.
        """
        if self._pending:
            rows, rollouts, breakdowns = zip(*self._pending, strict=True)
            self._pending.clear()
            self._log.add(rows, rollouts, breakdowns)
        self._sums.write()
