"""Stage `train-rm`: the reward model that reads principles (arXiv 2310.05910, 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from salmon_core.api.models import TokenCodec
from salmon_core.api.training import Job, Leaves
from salmon_core.config.run_config import RunConfig
from salmon_core.data.preferences import PreferenceSource
from salmon_core.plugins.engines import open_codec
from salmon_core.records import PreferenceRow
from salmon_core.run.identity import uncounted
from salmon_core.sharing.cards import reward_card
from salmon_core.sharing.document import FILE as DOCUMENT
from salmon_core.sharing.document import known_principles, make_document
from salmon_core.sharing.facts import CARD, Described, RowCounts
from salmon_core.stages.label import preference_input, preference_rows
from salmon_core.stages.pretrain_rm import STAGE as PRETRAIN
from salmon_core.stages.reward_texts import STATISTICS, TRAIN, reward_job, reward_renderer, write_reward_texts
from salmon_core.stages.sources import ModelInput, Sources, StageOutput
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.training import Trainer, TrainerSetup, TrainingStage, trainer_setup
from salmon_core.stages.work import Work

_DOCUMENT, _CARD = f"data/{DOCUMENT}", f"data/{CARD}"


@dataclass(frozen=True)
class TrainRmInputs:
    """Attributes:
    preferences: of the stage `label`, or the user's own file.
    init: the model to start from.
    made: what `pretrain-rm` will have left of it, as `start`.
    """

    seed: int
    preferences: StageOutput | PreferenceSource
    init: ModelInput
    texts: Texts
    trainer: TrainerSetup
    made: Mapping[str, Leaves] = uncounted()
    described: Described = uncounted()


class TrainRm(TrainingStage[TrainRmInputs]):
    """Preference rows as the trainer's texts."""

    name = "train-rm"
    prepared = TRAIN
    beside = (_DOCUMENT, _CARD)
    outputs = (prepared, STATISTICS, *beside, "model")

    def worked(self, inputs: TrainRmInputs) -> tuple[str, ...]:
        return (*super().worked(inputs), STATISTICS)

    def active(self, config: RunConfig) -> bool:
        return config.trains_reward_model

    def inputs(self, sources: Sources) -> TrainRmInputs:
        config = sources.config
        return TrainRmInputs(
            config.config.run.seed,
            preference_input(sources),
            sources.reward_start(),
            texts_of(sources, "reward"),
            trainer_setup(sources, self.name),
            {"start": PRETRAIN.leaves(sources)} if config.pretrains_reward_model else {},
            Described.of(config, reward_model=True),
        )

    def work(self, inputs: TrainRmInputs, work: Work) -> None:
        codec = open_codec(work.registry, inputs.texts.engine, inputs.init.spec)
        renderer = reward_renderer(inputs.texts, work.registry, codec, inputs.trainer)
        preferences = preference_rows(inputs.preferences, work.note)
        write_reward_texts(work, renderer, preferences, inputs.trainer)
        self._describe(inputs, work, preferences, codec)

    def _describe(self, inputs: TrainRmInputs, work: Work, rows: Sequence[PreferenceRow], codec: TokenCodec) -> None:
        """What the model's folder gets beside its weights, so that it can be used without the run."""
        described, texts = inputs.described, inputs.texts
        assert texts.reward is not None
        document = make_document(
            name=described.template,
            template=texts.reward,
            limits=texts.limits,
            principles=known_principles(rows, described.judged),
            combine=described.combine,
            model=inputs.init.spec,
            codec=codec,
            policy=texts.codec(work.registry),
            base_model=described.base,
        )
        leaves = Trainer(work.registry, inputs.trainer, self.job(inputs, work.path)).leaves()
        card = reward_card(described, document, RowCounts.of(rows), adapter=leaves.adapter)
        work.write_text(_DOCUMENT, document.to_json())
        work.write_text(_CARD, card)

    def setup(self, inputs: TrainRmInputs) -> TrainerSetup:
        return inputs.trainer

    def job(self, inputs: TrainRmInputs, folder: Path) -> Job:
        return reward_job("train-rm", inputs, folder, made=inputs.made)


STAGE = TrainRm()
