"""Measures for a monitor that uses models: `python -m salmon_core.seeing.measuring_apart ASKED FOUND`.

Started by `salmon_core.run.measured`, which says in ASKED what is wanted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import ModelSpec
from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.config.names import find_principle_set
from salmon_core.config.run_config import JudgeChoice
from salmon_core.data.interventions import STAGE
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import SalmonError, boundary
from salmon_core.plugins.options import require
from salmon_core.records import Judgment, Message, Pair, ShownPrinciple
from salmon_core.reward.reward import Reward
from salmon_core.run.measured import FOLDER
from salmon_core.run.run import Run
from salmon_core.stages.judge import judge_setup, other_setup
from salmon_core.stages.sources import Sources

#: so that the trainer does not wait for the processor
_NICE = 10
#: texts that are scored at once
_BATCH = 256


def main(argv: Sequence[str]) -> None:
    """Leaves `{"answer": ...}` in FOUND, or `{"error": ...}`."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    asked, found = read_json(Path(argv[0])), Path(argv[1])
    try:
        write_json(found, {"answer": answer(Run.open(Path(asked["run"])), asked)})
    except SalmonError as error:
        write_json(found, {"error": str(error)})


def answer(run: Run, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a monitor measures.

    Raises:
        SalmonError: the monitor failed, or a model.
    """
    chosen = asked["monitor"]
    paths = tuple(chosen["paths"])
    spec = ComponentSpec("monitors", chosen["name"], chosen["owner"], chosen["options"], paths)
    registry = run.config.registry
    owned = registry.owned(spec)
    monitor = require(owned, registry.build(spec), "measure")
    with boundary(str(owned.owner), f"monitor {spec.name!r}, measure"):
        return dict(monitor.measure(asked["question"], _Measured(run, asked["device"])))


@dataclass(frozen=True)
class _Measured:
    """A `MeasuredRun`."""

    run: Run
    device: str

    @property
    def seed(self) -> int:
        return self.run.config.config.run.seed

    def principle_set(self, name: str) -> PrincipleSet:
        return find_principle_set(self.run.config.registry, name, self.run.config.base)

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        spec = self.run.reward_spec()
        if spec.model is not None:
            spec = replace(spec, model=replace(spec.model, device=self.device))
        with Reward.from_spec(spec) as reward:
            parts = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
            return [scores for part in parts for scores in reward.score_texts(part)]

    def judge(self, pairs: Sequence[Pair], principles: Sequence[ShownPrinciple], *, model: str = "") -> list[Judgment]:
        sources = Sources(self.run)
        setup = judge_setup(sources)
        if model:
            spec = ModelSpec(model, dtype=setup.model.spec.dtype)
            setup = other_setup(setup, sources, JudgeChoice(model=spec))
        setup = replace(setup, model=replace(setup.model, spec=replace(setup.model.spec, device=self.device)))
        cache = self.run.path / STAGE / FOLDER
        with setup.open(self.run.config.registry, cache) as judging:
            return judging.judge(pairs, [Principle(each.name, each.text) for each in principles])


if __name__ == "__main__":
    main(sys.argv[1:])
