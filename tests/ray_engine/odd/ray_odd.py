"""An engine that does what the prompt says: dies, fails, or takes its time. Its completions are those of `letters`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from salmon_bytes import Bytes, Letters

from salmon_core import Component, hookimpl
from salmon_core.api import Engine, ModelSpec, Sampler, Sampling
from salmon_core.calls import part
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt


class OddSampler(Sampler):
    codec = Bytes()

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        for prompt, _ in prompts:
            self._do(prompt.text)
        found: list[Completion] = Letters().sample(prompts, sampling)
        return found

    def _do(self, text: str) -> None:
        what, _, rest = text.partition(" ")
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "die-once":
            if not Path(rest).exists():
                Path(rest).write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
        elif what == "refuse":
            raise SalmonError("that is too much", where="row 7", hint="ask for less")
        elif what == "fail":
            raise ValueError("no such thing")
        elif what == "slow":
            for step in range(1, 9):
                time.sleep(0.25)
                part(step / 8)


class OddEngine(Engine):
    def codec(self, model: ModelSpec) -> Bytes:
        return Bytes()

    def sampler(self, model: ModelSpec) -> OddSampler:
        if model.path == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if model.path == "broken":
            raise SalmonError("is no model", where=model.path, hint="make one")
        return OddSampler()


@hookimpl
def salmon_engines() -> Iterable[Component]:
    yield Component("odd", OddEngine, "does what it is told")
