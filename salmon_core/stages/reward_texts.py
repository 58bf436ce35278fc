"""What the stages that train a reward model share: preference rows as the trainer's texts, and the job."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

from salmon_core.api.models import TokenCodec
from salmon_core.api.training import Job, Leaves
from salmon_core.data import parquet
from salmon_core.errors import SalmonError
from salmon_core.plugins.registry import Registry
from salmon_core.records import PreferenceRow
from salmon_core.reward.rendering import Renderer
from salmon_core.reward.sections import SectionedRenderer
from salmon_core.stages.sources import ModelInput
from salmon_core.stages.texts import Texts
from salmon_core.stages.training import TrainerSetup
from salmon_core.stages.work import Work

TRAIN = "data/train.parquet"
STATISTICS = "data/statistics.json"


class RewardInputs(Protocol):
    """What the job needs of a stage's inputs."""

    @property
    def seed(self) -> int: ...
    @property
    def init(self) -> ModelInput: ...
    @property
    def trainer(self) -> TrainerSetup: ...


def reads_answers(trainer: TrainerSetup) -> bool:
    """Whether the trainer has to know where in a text its answer stands: for a loss of the language model on it."""
    return bool(trainer.backend.options.get("lm_loss_coef"))


def reward_renderer(
    texts: Texts, registry: Registry, codec: TokenCodec, trainer: TrainerSetup, *, plain: bool = False
) -> Renderer:
    """For the texts of such a stage.

    Args:
        codec: of the model that is trained.
        plain: whether no text shows a principle.
    """
    if plain and texts.reward is not None:
        texts = replace(texts, reward=texts.reward.without_principles())
    found = texts.reward_renderer(registry, codec)
    if not reads_answers(trainer):
        return found
    return SectionedRenderer(found.template, codec, others=(texts.codec(registry),), limits=texts.limits)


def write_reward_texts(
    work: Work, renderer: Renderer, preferences: Sequence[PreferenceRow], trainer: TrainerSetup, **more: int
) -> None:
    """Writes a stage's `TRAIN`, and `STATISTICS`: how many rows there are, and of how many a text was cut.

    Args:
        renderer: a `SectionedRenderer` where the trainer `reads_answers`.
        more: further numbers for the statistics.
    """
    cut, spans = 0, reads_answers(trainer)

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal cut
        for row in preferences:
            requests = [renderer.reward(row.messages, text, [row.principles]) for text in (row.chosen, row.rejected)]
            cut += any(request.truncated for request in requests)
            chosen, rejected = (request.texts[0] for request in requests)
            found: dict[str, Any] = {"chosen": chosen, "rejected": rejected, "margin": row.margin}
            if spans:
                assert isinstance(renderer, SectionedRenderer)
                found["answer_start"], found["answer_end"] = _answer(renderer, chosen)
                renderer.made.clear()
            yield found

    schema = parquet.RM_TEXTS_WITH_ANSWERS if spans else parquet.RM_TEXTS
    count = work.write_rows(TRAIN, rows(), schema)
    work.write_text(STATISTICS, json.dumps({"rows": count, "truncated": cut, **more}))


def _answer(renderer: SectionedRenderer, text: str) -> tuple[int, int]:
    """Where the completion stands in a text, in characters.

    Raises:
        SalmonError: a chat template has changed what it says.
    """
    start = 0
    for section in renderer.made[text]:
        if section.kind == "completion":
            return start, start + len(section.text)
        start += len(section.text)
    raise SalmonError(
        "the chat template changes what an answer says, so where it stands cannot be told",
        hint="leave lm_loss_coef out, or choose another reward.template",
    )


def reward_job(
    stage: Literal["pretrain-rm", "train-rm"], inputs: RewardInputs, folder: Path, *, made: Mapping[str, Leaves]
) -> Job:
    """The trainer's job of such a stage."""
    return inputs.trainer.job(stage, "reward", folder, TRAIN, model=inputs.init.spec, seed=inputs.seed, made=made)
