"""The runs that are looked at, each with what was read of it so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from salmon_core.data.interventions import STAGE
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError
from salmon_core.run.run import CONFIG
from salmon_core.seeing.curves import Curves, training_curves
from salmon_core.seeing.eventlog import EventLog
from salmon_core.seeing.judgments import Judged
from salmon_core.seeing.rollout_index import RolloutIndex
from salmon_core.seeing.summary import Summary, summary

#: seconds for which what was read counts as new
FRESH = 0.5
#: seconds that a page waits for rollouts that are still read
PATIENCE = 0.2
#: seconds that a filter waits for rollouts that came since
FILTERING = 0.1


class ViewedRun:
    """One run; may be asked from several threads.

    Args:
        number: its place among those that are looked at.
        path: its folder.
        name: what it goes by; None: as its folder.
    """

    def __init__(self, number: int, path: Path, name: str | None = None):
        self.number, self.path, self.name = number, path, name or path.name
        self.index = RolloutIndex(path / STAGE)
        self._log = EventLog(path)
        self._lock, self._rollouts = threading.RLock(), threading.Lock()
        self._read, self._read_rollouts = time.monotonic(), -FRESH
        self._summary: Summary | None = None
        self._whole = False
        self._judged: tuple[float, Judged] | None = None
        self.loaded = threading.Event()

    @property
    def home(self) -> str:
        """Address of its pages."""
        return f"/runs/{self.number}"

    @property
    def log(self) -> EventLog:
        """Its events, as they are now."""
        with self._lock:
            if time.monotonic() - self._read > FRESH:
                self._read = time.monotonic()
                if self._log.refresh():
                    self._summary = None
            return self._log

    @property
    def summary(self) -> Summary:
        """Its summary, as it is now."""
        log = self.log
        known = self._summary
        if known is None or known.live or (self.loaded.is_set() and not self._whole):
            with self._lock:
                found = summary(self.path, log)
            # Of many rollouts the first page does not wait; it refreshes until they are there.
            self._whole = self.loaded.wait(PATIENCE)
            if self._whole:
                training = self.rollouts().early_and_late()
                with self._lock:
                    found = summary(self.path, log, training)
            self._summary = found
            return found
        return known

    @property
    def curves(self) -> Curves:
        """Of the policy's training."""
        log = self.log
        with self._lock:
            return training_curves(log, self.path)

    @property
    def alarms(self) -> list[dict[str, Any]]:
        """Those on record."""
        return self.log.training.alarms

    def rollouts(self, patience: float | None = None) -> RolloutIndex:
        """Its rollouts, as they are now; the first time it takes as long as reading them.

        Args:
            patience: seconds to wait for what came since; those known before are given then, and the next time all.
                None: as long as it takes.
        """
        if patience is None or not self.loaded.is_set():
            self._read_on()
        elif time.monotonic() - self._read_rollouts > FRESH:
            reading = threading.Thread(target=self._read_on, name="rollouts", daemon=True)
            reading.start()
            reading.join(patience)
        return self.index

    def _read_on(self) -> None:
        flagged = [each for alarm in self.alarms for each in alarm.get("flagged") or ()]
        with self._rollouts:
            if time.monotonic() - self._read_rollouts > FRESH:
                self.index.refresh(flagged)
                self._read_rollouts = time.monotonic()
        self.loaded.set()

    @property
    def judge_verdict(self) -> dict[str, Any]:
        """What its stage found of the judge; empty where it has not."""
        found = read_json(self.path / "verdict" / "verdict.json")
        return found if isinstance(found, dict) else {}

    def judged(self) -> Judged:
        """Its judgments; read again where the stage was done anew.

        Raises:
            SalmonError: they cannot be read.
        """
        try:
            stamp = (self.path / "judge" / "manifest.json").stat().st_mtime
        except OSError:
            stamp = 0.0
        with self._lock:
            if self._judged is None or self._judged[0] != stamp:
                self._judged = (stamp, Judged(self.path))
            return self._judged[1]


def opened(paths: list[Path]) -> list[ViewedRun]:
    """Runs by their folders; rollouts are read in the background.

    Raises:
        SalmonError: no run in one of them.
    """
    for path in paths:
        if not isinstance(read_json(path / CONFIG), dict):
            hint = "name the folder of a run, as salmon run made it"
            raise SalmonError("there is no run in this folder", where=str(path), hint=hint)
    folders = [path.resolve() for path in paths]
    named = zip(folders, told_apart(folders), strict=True)
    runs = [ViewedRun(number, path, name) for number, (path, name) in enumerate(named)]

    def warm() -> None:
        for run in runs:
            run.rollouts()

    threading.Thread(target=warm, name="rollouts", daemon=True).start()
    return runs


def told_apart(paths: Sequence[Path]) -> list[str]:
    """Names of folders; of those that have one name, with as much of what they lie in as tells them apart."""
    sizes = [1] * len(paths)
    while True:
        names = ["/".join(path.parts[-size:]) for path, size in zip(paths, sizes, strict=True)]
        same = [place for place, name in enumerate(names) if names.count(name) > 1]
        grown = [place for place in same if sizes[place] < len(paths[place].parts)]
        if not grown:
            return names
        for place in grown:
            sizes[place] += 1


def found(folder: Path) -> list[Path]:
    """Runs that lie in a folder, or the folder itself where it is one; the last changed first."""
    if (folder / CONFIG).is_file():
        return [folder]
    inside = [each.parent for each in folder.glob(f"*/{CONFIG}") if isinstance(read_json(each), dict)]
    return sorted(inside, key=lambda each: -(each / CONFIG).stat().st_mtime)
