"""Stage `train-rm`: the reward model that reads principles (arXiv 2310.05910, 3.2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmon_core.api.training import Job
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.data.preferences import PreferenceSource
from salmon_core.plugins.engines import open_codec
from salmon_core.stages.base import ModelInput, Sources, StageOutput, Work
from salmon_core.stages.label import preference_input, preference_rows
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.training import TrainerSetup, TrainingStage, trainer_setup

_STATISTICS = "data/statistics.json"


@dataclass(frozen=True)
class TrainRmInputs:
    """Attributes:
    preferences: of the stage `label`, or the user's own file.
    init: the model to start from.
    """

    seed: int
    preferences: StageOutput | PreferenceSource
    init: ModelInput
    texts: Texts
    trainer: TrainerSetup


class TrainRm(TrainingStage[TrainRmInputs]):
    """Preference rows as the trainer's texts."""

    name = "train-rm"
    prepared = "data/train.parquet"
    outputs = (prepared, _STATISTICS, "model")

    def worked(self, inputs: TrainRmInputs) -> tuple[str, ...]:
        return (self.prepared, _STATISTICS)

    def active(self, config: RunConfig) -> bool:
        return config.trains_reward_model

    def inputs(self, sources: Sources) -> TrainRmInputs:
        config = sources.config
        return TrainRmInputs(
            config.config.run.seed,
            preference_input(sources),
            sources.named("reward-init"),
            texts_of(sources, "reward"),
            trainer_setup(sources, self.name),
        )

    def work(self, inputs: TrainRmInputs, work: Work) -> None:
        codec = open_codec(work.registry, inputs.texts.engine, inputs.init.spec)
        renderer = inputs.texts.reward_renderer(work.registry, codec)
        cut = 0

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal cut
            for row in preference_rows(inputs.preferences, work.note):
                texts = [renderer.reward(row.messages, text, [row.principles]) for text in (row.chosen, row.rejected)]
                cut += any(text.truncated for text in texts)
                yield {"chosen": texts[0].texts[0], "rejected": texts[1].texts[0], "margin": row.margin}

        count = work.write_rows(self.prepared, rows(), parquet.RM_TEXTS)
        work.write_text(_STATISTICS, json.dumps({"rows": count, "truncated": cut}))

    def setup(self, inputs: TrainRmInputs) -> TrainerSetup:
        return inputs.trainer

    def job(self, inputs: TrainRmInputs, folder: Path) -> Job:
        return Job(
            stage="train-rm",
            algorithm="reward",
            folder=str(folder),
            model=inputs.init.spec,
            data={"train": str(folder / self.prepared)},
            seed=inputs.seed,
            options=inputs.trainer.backend.options,
            launch=inputs.trainer.launch,
            python=inputs.trainer.python,
            run_name=inputs.trainer.run_name,
        )


STAGE = TrainRm()
