"""What is made of an alarm while the run goes on: prohibitions are tried, and within bounds the best is applied.

That takes the reward model, so it is done in a process of its own, beside the trainer's: one alarm after the other,
each once. A run that is killed before an alarm's answer asks for it again when it goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmon_core.api.events import Proposed
from salmon_core.config.monitoring import MonitorsSection
from salmon_core.data.interventions import STAGE
from salmon_core.errors import SalmonError
from salmon_core.run.beside import Beside, Errand

FOLDER = "proposals"
_MODULE = "salmon_core.seeing.proposing_apart"


@dataclass
class Answering:
    """Answers a run's alarms.

    Args:
        section: of the configuration.
        folder: of the run.
        emit: tells of an event by its class and fields.
        beside: where it is done.
    """

    section: MonitorsSection
    folder: Path
    emit: Callable[..., None]
    beside: Beside
    _asked: deque[tuple[int, str, str]] = field(default_factory=deque)

    @property
    def waits(self) -> bool:
        """Whether something is not answered yet."""
        return bool(self._asked)

    def ask(self, number: int, monitor: str, about: str) -> None:
        """An alarm, by its number in the run; answered in turn."""
        self._asked.append((number, monitor, about))

    def tend(self, kl: float | None) -> None:
        """Tells of an answer that is there, and begins the next.

        Args:
            kl: that the trainer last logged; None where it logs none.
        """
        while self._asked:
            number, monitor, about = self._asked[0]
            errand = Errand(_MODULE, self.folder.resolve() / STAGE / FOLDER, f"alarm-{number}")
            if not self.beside.doing(errand):
                if self.beside.free:
                    self.beside.begin(errand, self._question(number, monitor, kl))
                return
            answer = self.beside.result()
            if answer is None:
                return
            self._asked.popleft()
            if isinstance(answer, SalmonError):
                answer = {"text": f"nothing could be tried: {answer}"}
            self.emit(Proposed, stage=STAGE, monitor=monitor, about=about, alarm=number, **answer)

    def _question(self, number: int, monitor: str, kl: float | None) -> dict[str, Any]:
        bounds = self.section.apply if self.section.on_alarm == "apply" else None
        return {
            "run": str(self.folder.resolve()),
            "alarm": number,
            "sets": self.section.from_sets,
            "device": self.section.device,
            "apply": None if bounds is None else {**bounds.model_dump(), "now": kl, "who": f"monitor {monitor}"},
        }
