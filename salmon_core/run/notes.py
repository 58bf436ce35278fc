"""Notes of a stage's processes to whoever watches the run: a line each in `notes.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path

from salmon_core.data.files import append_line

FILE = "notes.jsonl"


def note(folder: Path, text: str) -> None:
    """Leaves a note.

    Args:
        folder: the stage's.
    """
    append_line(folder / FILE, json.dumps(text))


class Notes:
    """Notes left from now on.

    Args:
        folder: the stage's.
    """

    def __init__(self, folder: Path):
        self._file = folder / FILE
        self._read = self._file.stat().st_size if self._file.exists() else 0

    def new(self) -> list[str]:
        """Those that were not given yet; a line still being written is left for the next time."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._read)
                found = file.read()
        except FileNotFoundError:
            return []
        whole = found[: found.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]
