"""What a finished run left, for tests of evaluators."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVALUATE = [{"name": "rm-accuracy", "max_set": 2}, "reward-shift", {"name": "rm-accuracy", "max_pairs": 5}]


@dataclass(frozen=True)
class Finished:
    """What a run left.

    Attributes:
        opened: for each process the words `open PATH` and `close PATH` of its models, in order.
    """

    folder: Path
    printed: str
    opened: dict[str, list[str]]

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.folder / "runs" / "toy"

    @property
    def report(self) -> dict[str, Any]:
        """Its report."""
        report: dict[str, Any] = json.loads((self.run / "report.json").read_text())
        return report
