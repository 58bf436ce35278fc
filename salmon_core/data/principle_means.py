"""What the reward model gave under each principle, by generated batch, for trainers that cannot log it themselves.

`by_principle/part-BATCH.json` in the stage's folder has, by a principle's name in a breakdown, the sum of its scores
and how many rollouts had one. A batch that a resumed run generates again replaces its file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from salmon_core.data.json import read_json, write_json
from salmon_core.records import RewardBreakdown

FOLDER = "by_principle"


class PrincipleSums:
    """Adds up all rollouts, logged ones or not.

    Args:
        folder: the stage's.
    """

    def __init__(self, folder: Path):
        self._folder = folder / FOLDER
        self._sums: dict[int, dict[str, tuple[float, int]]] = {}
        self._unwritten: set[int] = set()

    @property
    def pending(self) -> bool:
        """Whether something was added that is not written yet."""
        return bool(self._unwritten)

    def add(self, scored: Iterable[tuple[int, RewardBreakdown]]) -> None:
        """
        Args:
            scored: batch and breakdown of each rollout; batches come in order.
        """
        for index, breakdown in scored:
            for name, value in breakdown.by_principle.items():
                of_batch = self._sums.setdefault(index, {})
                total, count = of_batch.get(name, (0.0, 0))
                of_batch[name] = (total + value, count + 1)
                self._unwritten.add(index)

    def write(self) -> None:
        """Writes what was added.

        Raises:
            OSError: it cannot be written.
        """
        for index in sorted(self._unwritten):
            self._folder.mkdir(exist_ok=True)
            write_json(self._folder / f"part-{index:06d}.json", self._sums[index])
        self._unwritten.clear()
        for index in sorted(self._sums)[:-2]:  # batches are generated one after the other
            del self._sums[index]


def principle_means(stage: Path, index: int) -> Mapping[str, float]:
    """The mean score under each principle over those rollouts of a batch that were shown it; empty where none is known.

    Args:
        stage: its folder.
        index: of the batch.
    """
    sums = read_json(stage / FOLDER / f"part-{index:06d}.json") or {}
    return {name: total / count for name, (total, count) in sums.items()}
