"""Stage `sft`: supervised fine-tuning of the configured model on demonstrations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from salmon_core.api.models import TokenCodec
from salmon_core.api.training import Job
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.data.prompts import Columns, to_prompt
from salmon_core.data.readers import read_file
from salmon_core.errors import DataError
from salmon_core.plugins.registry import Registry
from salmon_core.reward.rendering import Renderer
from salmon_core.stages.demonstrations import DEMONSTRATIONS
from salmon_core.stages.sources import ModelInput, Sources, StageOutput
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.training import TrainerSetup, TrainingStage, trainer_setup
from salmon_core.stages.work import Work


@dataclass(frozen=True)
class SftInputs:
    """Attributes:
    data: a file with `prompt` or `messages`, and `completion`; None where there is only `made`.
    made: what the stage `self-align` leaves; it comes after the file.
    """

    seed: int
    model: ModelInput
    texts: Texts
    data: Path | None
    trainer: TrainerSetup
    made: StageOutput | None = None


def rows_of(inputs: SftInputs, registry: Registry, *, made: bool = True) -> Iterator[dict[str, str]]:
    """The demonstrations as texts.

    Args:
        made: whether those that the model made itself are there.

    Raises:
        DataError: one is none, or there is none; names its place.
    """
    codec, renderer = inputs.texts.codec(registry), inputs.texts.renderer(registry)
    files = [] if inputs.data is None else [inputs.data]
    if inputs.made is not None and made:
        files.append(inputs.made.folder.need(DEMONSTRATIONS))
    for file in files:
        yield from _rows_of(file, codec, renderer)


def _rows_of(file: Path, codec: TokenCodec, renderer: Renderer) -> Iterator[dict[str, str]]:
    found = False
    for where, row in read_file(file):
        completion = row.get("completion")
        if not isinstance(completion, str):
            raise DataError("has no text in 'completion'", where=where)
        text = renderer.policy(to_prompt(row, Columns(), where))
        found = True
        yield {"prompt": text, "completion": renderer.safe_text(completion) + codec.eos_token}
    if not found:
        raise DataError("has no rows", where=str(file))


class Sft(TrainingStage[SftInputs]):
    """The demonstrations as the trainer's texts: rendered prompt, completion with EOS."""

    name = "sft"
    prepared = "data/train.parquet"
    outputs = (prepared, "model")

    def active(self, config: RunConfig) -> bool:
        return config.config.sft is not None

    def inputs(self, sources: Sources) -> SftInputs:
        config = sources.config
        return SftInputs(
            config.config.run.seed,
            sources.base(),
            texts_of(sources, "sample"),
            config.files.get("sft"),
            trainer_setup(sources, self.name),
            None if config.self_align is None else sources.output("self-align"),
        )

    def work(self, inputs: SftInputs, work: Work) -> None:
        work.write_rows(self.prepared, rows_of(inputs, work.registry), parquet.SFT_TEXTS)

    def setup(self, inputs: SftInputs) -> TrainerSetup:
        return inputs.trainer

    def job(self, inputs: SftInputs, folder: Path) -> Job:
        return inputs.trainer.job("sft", "sft", folder, self.prepared, model=inputs.model.spec, seed=inputs.seed)


STAGE = Sft()
