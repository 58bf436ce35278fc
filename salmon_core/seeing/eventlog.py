"""What happened in a run, from its `events.jsonl`: read on as the file grows, so that a live run can be watched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmon_core.data.interventions import STAGE
from salmon_core.run.events import FILE
from salmon_core.run.processes import at_work

#: notes that are kept, the last ones
_NOTES = 200


@dataclass
class StageLog:
    """What is known of one stage since it last began from nothing.

    Attributes:
        status: `running`, `finished`, `failed`, or empty where nothing is known.
        steps: numbers of a training by optimizer step.
        anchors: (step, generated batch) as they followed each other: after so many steps that batch was written.
        rollouts: rows by generated batch.
        alarms: `AlarmRaised`, in order; `proposed` what was proposed against them, by their numbers from 1,
            and `followed` what became of them (`AlarmFollowed`).
        seconds: it took, where it is finished.
    """

    status: str = ""
    error: str = ""
    done: int = 0
    total: int = 0
    what: str = ""
    seconds: float | None = None
    steps: dict[int, dict[str, float]] = field(default_factory=dict)
    anchors: list[tuple[int, int]] = field(default_factory=list)
    rollouts: dict[int, int] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    proposed: dict[int, dict[str, Any]] = field(default_factory=dict)
    followed: dict[int, dict[str, Any]] = field(default_factory=dict)


class EventLog:
    """The events of a run; `refresh` reads what was added since.

    Attributes:
        stages: of the run, in order, as it was last started.
        started: when it was last started, seconds since the epoch.
        ended: whether it ended since; `error` with what, empty where it was done.
        notes: what was said to whoever watches.
    """

    def __init__(self, run: Path):
        self._run, self._file = run, run / FILE
        self._clear()
        self.refresh()

    def _clear(self) -> None:
        self._offset = 0
        self.stages: tuple[str, ...] = ()
        self.of: dict[str, StageLog] = {}
        self.started: float | None = None
        self.ended, self.error = False, ""
        self.notes: list[str] = []

    def stage(self, name: str) -> StageLog:
        """What is known of a stage; of one that never began, nothing."""
        return self.of.get(name, StageLog())

    @property
    def training(self) -> StageLog:
        """Of the policy's training."""
        return self.stage(STAGE)

    @property
    def live(self) -> bool:
        """Whether somebody works on the run now."""
        return not self.ended and self.started is not None and at_work(self._run)

    def refresh(self) -> bool:
        """Reads on; True where something was new. A line that is not whole yet waits, a torn one is passed over."""
        try:
            size = self._file.stat().st_size
        except FileNotFoundError:
            return False
        if size < self._offset:  # another run took the folder
            self._clear()
        if size == self._offset:
            return False
        with self._file.open("rb") as file:
            file.seek(self._offset)
            content = file.read(size - self._offset)
        whole = content.rfind(b"\n") + 1
        self._offset += whole
        for line in content[:whole].splitlines():
            try:
                event = json.loads(line.decode("utf-8", "replace"))
            except ValueError:
                continue
            if isinstance(event, dict):
                self._take(event)
        return whole > 0

    def _take(self, event: Mapping[str, Any]) -> None:
        kind, name = event.get("event"), event.get("stage")
        if kind == "RunStarted":
            self.stages, self.started = tuple(event.get("stages") or ()), event.get("time")
            self.ended, self.error = False, ""
        elif kind == "RunFinished":
            self.ended, self.error = True, event.get("error") or ""
        elif kind == "Note":
            self.notes = [*self.notes[1 - _NOTES :], str(event.get("text", ""))]
        elif isinstance(name, str):
            if kind == "StageStarted" and not event.get("resumed"):
                self.of[name] = StageLog()
            self._take_of(self.of.setdefault(name, StageLog()), str(kind), event)

    def _take_of(self, own: StageLog, kind: str, event: Mapping[str, Any]) -> None:
        if kind == "StageStarted":
            own.status, own.error = "running", ""
        elif kind == "StageFinished":
            own.status = "finished"
            seconds = (event.get("manifest") or {}).get("seconds")
            own.seconds = seconds if isinstance(seconds, int | float) else own.seconds
        elif kind == "StageFailed":
            own.status, own.error = "failed", str(event.get("error", ""))
        elif kind == "Progress":
            own.done, own.total, own.what = event["done"], event["total"], str(event["what"])
        elif kind == "StepLogged":
            step, values = int(event["step"]), event.get("values") or {}
            own.steps.setdefault(step, {}).update(values)
            own.done, own.total, own.what = step, event.get("total") or own.total, "steps"
        elif kind == "RolloutsLogged":
            index = int(event["rollout_index"])
            if index not in own.rollouts:
                own.anchors.append((max(own.steps, default=0), index))
            own.rollouts[index] = int(event.get("count", 0))
        elif kind == "AlarmRaised":
            own.alarms.append(dict(event))
        elif kind == "Proposed":
            own.proposed[int(event["alarm"])] = dict(event)
        elif kind == "AlarmFollowed":
            own.followed[int(event["alarm"])] = dict(event)
