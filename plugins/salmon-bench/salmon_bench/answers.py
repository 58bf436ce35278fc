"""A subject's answers on disk, by key: what was asked once is not asked again, whatever ended the command."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from salmon_bench.subject import Orders, Question, Subject
from salmon_core.run.identity import fingerprint

#: questions asked in one call: what a killed command repeats at most
BATCH = 32


class Answers:
    """A file of lines, one an answer, to which lines are only added.

    Args:
        folder: of all subjects.
    """

    def __init__(self, folder: Path, subject: Subject):
        self._subject = subject
        self.path = folder / f"answers-{fingerprint(subject.identity)}.jsonl"
        self._known: dict[str, Orders] = dict(filter(None, map(_read, self._lines())))

    def of(
        self, questions: Sequence[Question], progress: Callable[[int], None] = lambda done: None
    ) -> dict[str, Orders]:
        """By key.

        Args:
            progress: told how many are answered.
        """
        asked = {each.key: each for each in questions}
        missing = [each for key, each in asked.items() if key not in self._known]
        done = len(asked) - len(missing)
        for start in range(0, len(missing), BATCH):
            progress(done + start)
            batch = missing[start : start + BATCH]
            self._keep({each.key: said for each, said in zip(batch, self._subject.ask(batch), strict=True)})
        progress(len(asked))
        return {key: self._known[key] for key in asked}

    def _keep(self, said: dict[str, Orders]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"key": key, "orders": orders}) + "\n" for key, orders in said.items()]
        with self.path.open("ab+") as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a line that a killed command did not end
                    file.write(b"\n")
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self._known |= said

    def _lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines() if self.path.exists() else []


def _read(line: bytes) -> tuple[str, Orders] | None:
    """One answer; None of a line that is none, such as one that was not written to its end."""
    try:
        values: Any = json.loads(line)
        first, second = (float(each) for each in values["orders"])
        key = values["key"]
    except (ValueError, TypeError, KeyError):
        return None
    whole = isinstance(key, str) and math.isfinite(first) and math.isfinite(second)
    return (key, (first, second)) if whole else None
