"""A run whose reward model was examined."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Examined:
    """Attributes:
    folder: in which commands run; `run` the run's folder.
    """

    folder: Path
    run: Path

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / "report.json").read_text())
        return found
