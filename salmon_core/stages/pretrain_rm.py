"""Stage `pretrain-rm`: the reward model on preferences without principles first (arXiv 2310.05910, 3.2).

That is preference-model pre-training, as arXiv 2112.00861, section 4, has it; `train-rm` goes on from its result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from salmon_core.api.training import Job, Leaves
from salmon_core.config.run_config import RunConfig
from salmon_core.data.preferences import Pretraining
from salmon_core.plugins.engines import open_codec
from salmon_core.stages.reward_texts import STATISTICS, TRAIN, reward_job, reward_renderer, write_reward_texts
from salmon_core.stages.sources import ModelInput, Sources
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.training import Trainer, TrainerSetup, TrainingStage, trainer_setup
from salmon_core.stages.work import Work


@dataclass(frozen=True)
class PretrainRmInputs:
    """Attributes:
    init: the model to start from.
    """

    seed: int
    pretraining: Pretraining
    init: ModelInput
    texts: Texts
    trainer: TrainerSetup


class PretrainRm(TrainingStage[PretrainRmInputs]):
    """Preference rows as the trainer's texts."""

    name = "pretrain-rm"
    prepared = TRAIN
    outputs = (prepared, STATISTICS, "model")

    def worked(self, inputs: PretrainRmInputs) -> tuple[str, ...]:
        return (*super().worked(inputs), STATISTICS)

    def active(self, config: RunConfig) -> bool:
        return config.pretrains_reward_model

    def inputs(self, sources: Sources) -> PretrainRmInputs:
        config = sources.config
        assert config.pretraining is not None
        trainer = trainer_setup(sources, self.name)
        texts = texts_of(sources, "reward")
        longest = trainer.backend.options.get("max_length")
        if isinstance(longest, int):  # its own, and shorter than that of texts with principles
            limits = texts.limits
            texts = replace(texts, limits=replace(limits, total=min(limits.total, longest)))
        return PretrainRmInputs(
            config.config.run.seed, config.pretraining, sources.named("reward-init"), texts, trainer
        )

    def work(self, inputs: PretrainRmInputs, work: Work) -> None:
        codec = open_codec(work.registry, inputs.texts.engine, inputs.init.spec)
        found = inputs.pretraining.read()
        if found.dropped:
            where = "reward_model.pretrain.preferences.on_bad_row"
            work.note(f"{found.dropped} preference rows were left out, as {where} says")
        if found.passed_over:
            kept = f"keep and min_margin leave out {found.passed_over} rows"
            work.note(f"{kept}; the reward model is pre-trained on {len(found.rows)}")
        if inputs.pretraining.principles == "rows" and found.nameless:
            work.note(f"{found.nameless} of {len(found.rows)} preference rows name no principle")
        plain = inputs.pretraining.principles == "none"
        renderer = reward_renderer(inputs.texts, work.registry, codec, inputs.trainer, plain=plain)
        write_reward_texts(work, renderer, found.rows, inputs.trainer, passed_over=found.passed_over)

    def setup(self, inputs: PretrainRmInputs) -> TrainerSetup:
        return inputs.trainer

    def job(self, inputs: PretrainRmInputs, folder: Path) -> Job:
        return reward_job("pretrain-rm", inputs, folder, made={})

    def leaves(self, sources: Sources) -> Leaves:
        """What the trainer will leave."""
        inputs = self.inputs(sources)
        job = self.job(inputs, sources.output(self.name).path)
        return Trainer(sources.config.registry, inputs.trainer, job).leaves()


STAGE = PretrainRm()
