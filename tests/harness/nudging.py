"""A file plugin: a backend whose trained policy is the one before with other numbers in its last layer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel

from salmon_core import Component, hookimpl
from salmon_core.api import Backend, Job, LaunchPlan, LoggedStep, StageResult, Step

_STEP = """
import json, pathlib, shutil
import numpy
from safetensors.numpy import load_file, save_file
source = pathlib.Path(json.loads(pathlib.Path("job.json").read_text())["model"]["path"])
shutil.copytree(source, "model", dirs_exist_ok=True)
weights = load_file(source / "model.safetensors")
last = sorted(weights)[0]
for name in weights:
    if weights[name].ndim == 2:
        noise = numpy.random.default_rng(len(name)).standard_normal(weights[name].shape)
        weights[name] = (weights[name] + 0.5 * weights[name].std() * noise).astype(weights[name].dtype)
save_file(weights, "model/model.safetensors", metadata={"format": "pt"})
"""


class Nudge(Backend):
    stages = frozenset({"train-policy"})
    algorithms = frozenset({"nudge"})

    class StageOptions(BaseModel):
        pass

    def options_for(self, stage: str, algorithm: str | None = None) -> type[BaseModel]:
        return self.StageOptions

    def plan(self, job: Job) -> LaunchPlan:
        return LaunchPlan(
            (Step("nudge", (sys.executable, "step.py"), {}),), files={"job.json": job.to_json(), "step.py": _STEP}
        )

    def steps(self, folder: Path) -> Iterator[LoggedStep]:
        return iter(())

    def finish(self, job: Job, folder: Path) -> StageResult:
        return StageResult({})


@hookimpl
def salmon_backends() -> Iterable[Component]:
    if number := os.environ.get("HARNESS_DIES_AT"):
        _die_at(int(number))
    yield Component("nudge", Nudge, "changes weights")


def _die_at(number: int) -> None:
    """Kills the process of the evaluation when so many answers were written down."""
    if "salmon_core.worker" not in " ".join(sys.orig_argv) or "evaluate" not in sys.argv:
        return
    from salmon_lm_eval.answers import Answers

    add = Answers.add_partial

    def dying(self: Answers, kind: str, asked: object, answer: object) -> None:
        nonlocal number
        add(self, kind, asked, answer)  # type: ignore[arg-type]
        number -= 1
        if number == 0:
            os.kill(os.getpid(), 9)

    Answers.add_partial = dying  # type: ignore[method-assign]
