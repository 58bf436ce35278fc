"""What monitors that use models have measured, each in a process of its own, and kept as files.

An answer is kept by its question: a run that goes on, or is done again with the same rollouts, measures none twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.monitors import RolloutBatch
from salmon_core.data.interventions import STAGE
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import SalmonError
from salmon_core.run.beside import Beside, Errand
from salmon_core.run.identity import by_content, fingerprint

FOLDER = "measured"
_MODULE = "salmon_core.seeing.measuring_apart"
#: told with the answer, or why there is none
Hear = Callable[[RolloutBatch, dict[str, Any] | SalmonError], None]


@dataclass(frozen=True)
class _Asked:
    errand: Errand
    key: str
    document: dict[str, Any]
    batch: RolloutBatch
    hear: Hear
    wanted: Callable[[], bool]


@dataclass
class Measuring:
    """Has monitors' questions answered, in the order in which they were asked.

    Args:
        folder: of the run.
        beside: where it is done.
        device: where models are opened.
    """

    folder: Path
    beside: Beside
    device: str
    _asked: deque[_Asked] = field(default_factory=deque)

    @property
    def waits(self) -> bool:
        """Whether something is not answered yet."""
        return bool(self._asked)

    def ask(
        self,
        spec: ComponentSpec,
        place: int,
        question: dict[str, Any],
        batch: RolloutBatch,
        hear: Hear,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """A question of a monitor.

        Args:
            place: of the monitor among those of the run: one may be used twice.
            hear: told when the answer is there, never before this returns.
            wanted: whether the answer is still wanted when its turn comes.
        """
        key = fingerprint([spec.owner, spec.name, by_content(spec.options, frozenset(spec.paths)), question])
        name = f"{place}-{spec.name}-{batch.rollout_index:06d}"
        errand = Errand(_MODULE, self.folder.resolve() / STAGE / FOLDER, name)
        document = {
            "run": str(self.folder.resolve()),
            "monitor": {"name": spec.name, "owner": spec.owner, "options": dict(spec.options), "paths": spec.paths},
            "device": self.device,
            "question": question,
        }
        self._asked.append(_Asked(errand, key, document, batch, hear, wanted))

    def tend(self, *, begins: bool = True) -> None:
        """Tells of an answer that is there, and begins the next.

        Args:
            begins: False leaves what is free to somebody who waits for it.
        """
        while self._asked:
            asked = self._asked[0]
            if not (self.beside.doing(asked.errand) or asked.wanted()):
                self._asked.popleft()
                continue
            kept = asked.errand.file("kept")
            answer = self._kept(kept, asked.key)
            if answer is None:
                if not self.beside.doing(asked.errand):
                    if self.beside.free and begins:
                        self.beside.begin(asked.errand, asked.document)
                    return
                result = self.beside.result()
                if result is None:
                    return
                answer = result
                if isinstance(result, dict) and "error" in result:
                    answer = SalmonError(str(result["error"]))
                elif isinstance(result, dict):
                    answer = result["answer"]
                    write_json(kept, {"question": asked.key, "answer": answer})
                    asked.errand.clear()
            self._asked.popleft()
            asked.hear(asked.batch, answer)

    @staticmethod
    def _kept(file: Path, key: str) -> dict[str, Any] | SalmonError | None:
        kept = read_json(file)
        return kept["answer"] if isinstance(kept, dict) and kept.get("question") == key else None
