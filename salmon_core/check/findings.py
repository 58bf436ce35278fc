"""What a check finds, as lines of JSON: the checking process writes them, whoever started it reads them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from salmon_core.errors import ConfigError, Problem, SalmonError


class Writer:
    """Writes findings as they are made, so that those before an end by force are kept.

    Args:
        file: appended to.
    """

    def __init__(self, file: Path):
        self._file = file

    def begin(self, what: str) -> None:
        """The next thing is tried; named if it never returns."""
        self._write({"begin": what})

    def problem(self, key: str, error: SalmonError) -> None:
        """Something that will fail."""
        if isinstance(error, ConfigError):
            for each in error.problems:
                where = ": ".join(dict.fromkeys(filter(None, [key, each.place])))
                self._write({"problem": asdict(Problem(where, each.message, each.hint))})
            return
        message = f"{error.where}: {error.message}" if error.where else error.message
        self._write({"problem": asdict(Problem(key, message, error.hint))})

    def note(self, text: str) -> None:
        """Something to know."""
        self._write({"note": text})

    def end(self) -> None:
        """All was tried."""
        self._write({"end": True})

    def _write(self, values: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


@dataclass
class Findings:
    """Attributes:
    doing: what was being tried last.
    ended: whether all was tried.
    """

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    doing: str = ""
    ended: bool = False


def read(file: Path) -> Findings:
    """What a process wrote so far; a line still being written is left out."""
    found = Findings()
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            values = json.loads(line)
        except ValueError:
            break
        if "problem" in values:
            found.problems.append(Problem(**values["problem"]))
        elif "note" in values:
            found.notes.append(values["note"])
        else:
            found.doing = values.get("begin", found.doing)
            found.ended = found.ended or "end" in values
    return found
