"""What is made of an alarm while the run goes on: prohibitions are tried, and within bounds the best is applied.

That takes the reward model, so it is done in a process of its own, beside the trainer's: one alarm after the other,
each once. A run that is killed before an alarm's answer asks for it again when it goes on.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmon_core.api.events import Proposed
from salmon_core.config.monitoring import MonitorsSection
from salmon_core.data.interventions import STAGE
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import SalmonError
from salmon_core.run.processes import Running, failure

FOLDER = "proposals"
#: seconds for one alarm, at most
LIMIT = 1800.0
_ENVIRONMENT = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}


@dataclass
class Answering:
    """Answers a run's alarms.

    Args:
        section: of the configuration.
        folder: of the run.
        emit: tells of an event by its class and fields.
    """

    section: MonitorsSection
    folder: Path
    emit: Callable[..., None]
    _asked: deque[tuple[int, str, str]] = field(default_factory=deque)
    _running: Running | None = None
    _started: float = 0.0

    def ask(self, number: int, monitor: str, about: str) -> None:
        """An alarm, by its number in the run; answered in turn."""
        self._asked.append((number, monitor, about))

    def tend(self, kl: float | None) -> None:
        """Tells of an answer that is there, and begins the next.

        Args:
            kl: that the trainer last logged; None where it logs none.
        """
        if not self._asked:
            return
        number, monitor, about = self._asked[0]
        if self._running is None:
            self._begin(number, monitor, kl)
            return
        code = self._running.poll()
        if code is None and time.monotonic() - self._started < LIMIT:
            return
        self.drop()
        self._asked.popleft()
        answer = read_json(self._file(number, "found"))
        if not isinstance(answer, dict):
            late = SalmonError(f"took more than {LIMIT:.0f} s")
            error = late if code is None else failure("proposals", code, self._file(number, "log", ".txt"))
            answer = {"text": f"nothing could be tried: {error}"}
        self.emit(Proposed, stage=STAGE, monitor=monitor, about=about, alarm=number, **answer)
        self.tend(kl)

    def finish(self, kl: float | None) -> None:
        """Answers all that is left."""
        while self._asked:
            self.tend(kl)
            time.sleep(0.05)

    def drop(self) -> None:
        """Ends what runs; its alarm stays asked for."""
        if self._running is not None:
            self._running.__exit__()
            self._running = None

    def _begin(self, number: int, monitor: str, kl: float | None) -> None:
        self._file(number, "asked").parent.mkdir(exist_ok=True)
        self._file(number, "found").unlink(missing_ok=True)
        bounds = self.section.apply if self.section.on_alarm == "apply" else None
        asked: dict[str, Any] = {
            "run": str(self.folder.resolve()),
            "alarm": number,
            "sets": self.section.from_sets,
            "device": self.section.device,
            "apply": None if bounds is None else {**bounds.model_dump(), "now": kl, "who": f"monitor {monitor}"},
        }
        write_json(self._file(number, "asked"), asked)
        argv = [sys.executable, "-m", "salmon_core.seeing.proposing_apart"]
        argv += [str(self._file(number, name)) for name in ("asked", "found")]
        log = self._file(number, "log", ".txt")
        log.unlink(missing_ok=True)
        self._running, self._started = Running(argv, env=_ENVIRONMENT, cwd=log.parent, log=log), time.monotonic()

    def _file(self, number: int, name: str, ending: str = ".json") -> Path:
        return self.folder.resolve() / STAGE / FOLDER / f"alarm-{number}-{name}{ending}"
