"""Stage `train-policy`: reinforcement learning against the reward (arXiv 2310.05910, 3.3).

Every draw of principles of the whole run is written down before it starts, so a trainer only carries rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from salmon_core.api.principles import Principle
from salmon_core.api.reward import RewardSpec
from salmon_core.api.training import Job, Leaves
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.principles.draw import unroll
from salmon_core.records import ShownPrinciple
from salmon_core.reward.spec import reward_spec
from salmon_core.run.identity import uncounted
from salmon_core.sharing.cards import policy_card
from salmon_core.sharing.facts import CARD, Described
from salmon_core.stages import stage
from salmon_core.stages.base import ModelInput, Sources, StageOutput, Work
from salmon_core.stages.prompts import read_prompts
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.training import Trainer, TrainerSetup, TrainingStage, trainer_setup

_CARD = f"data/{CARD}"


@dataclass(frozen=True)
class TrainPolicyInputs:
    """Attributes:
    reward: with `reward_model` as its model.
    principles: drawn from, by weight.
    shown: by principle's name, as the reward model is shown it.
    show: principles drawn for each row.
    epochs: visits of each prompt, unless the options fix the number of steps.
    """

    seed: int
    prompts: StageOutput
    policy: ModelInput
    reward: RewardSpec
    reward_model: ModelInput | None
    principles: tuple[Principle, ...]
    shown: Mapping[str, ShownPrinciple]
    show: int
    epochs: int
    algorithm: str
    texts: Texts
    trainer: TrainerSetup
    made: Mapping[str, Leaves] = uncounted()
    described: Described = uncounted()  # noqa: RUF009  (a field)


class TrainPolicy(TrainingStage[TrainPolicyInputs]):
    """Draws, then trains."""

    name = "train-policy"
    prepared = "rl_prompts.parquet"
    beside = (_CARD,)
    outputs = (prepared, *beside, "model")

    def active(self, config: RunConfig) -> bool:
        return config.config.train.algorithm != "none"

    def inputs(self, sources: Sources) -> TrainPolicyInputs:
        config = sources.config
        model = sources.reward_model() if config.config.reward.rm_weight != 0 else None
        return TrainPolicyInputs(
            seed=config.config.run.seed,
            prompts=sources.output("prompts"),
            policy=sources.initial(),
            reward=reward_spec(config, None if model is None else model.spec),
            reward_model=model,
            principles=tuple(config.reward_principles),
            shown={principle.name: config.shown(principle) for principle in config.reward_principles},
            show=config.config.reward.show,
            epochs=config.config.train.epochs,
            algorithm=config.config.train.algorithm,
            texts=texts_of(sources, "reward"),
            trainer=trainer_setup(sources, self.name),
            made=_made(sources),
            described=Described.of(config),
        )

    def work(self, inputs: TrainPolicyInputs, work: Work) -> None:
        renderer = inputs.texts.renderer(work.registry)
        prompts = read_prompts(inputs.prompts.path, "train")
        needed = Trainer(work.registry, inputs.trainer, self.job(inputs, work.path)).rows_needed()
        epochs = inputs.epochs if needed is None else math.ceil(needed / len(prompts))
        visits = unroll(prompts, inputs.principles, epochs=epochs, show=inputs.show, seed=inputs.seed)
        texts: dict[str, str] = {}
        rows = []
        for number, prompt, drawn in islice(visits, needed):
            if prompt.id not in texts:
                texts[prompt.id] = renderer.policy(prompt)
            shown = [inputs.shown[principle.name] for principle in drawn]
            rows.append(parquet.rl_row(number, prompt, texts[prompt.id], shown))
        work.write_rows(self.prepared, rows, parquet.RL_PROMPTS)
        chat = inputs.policy.spec.fallback_chat_template
        work.write_text(_CARD, policy_card(inputs.described, chat_template=chat))

    def setup(self, inputs: TrainPolicyInputs) -> TrainerSetup:
        return inputs.trainer

    def job(self, inputs: TrainPolicyInputs, folder: Path) -> Job:
        return Job(
            stage="train-policy",
            algorithm=inputs.algorithm,
            folder=str(folder),
            model=inputs.policy.spec,
            data={"train": str(folder / self.prepared)},
            seed=inputs.seed,
            options=inputs.trainer.backend.options,
            reward=inputs.reward,
            launch=inputs.trainer.launch,
            python=inputs.trainer.python,
            run_name=inputs.trainer.run_name,
            made=inputs.made,
        )


def _made(sources: Sources) -> dict[str, Leaves]:
    """What the trainers before will leave, by role."""
    found = {}
    for role, name in (("policy", "sft"), ("reward", "train-rm")):
        if name in sources.config.backends and name in sources.stages:
            own = stage(name)
            inputs = own.inputs(sources)
            job = own.job(inputs, sources.output(name).path)  # type: ignore[attr-defined]
            setup = own.setup(inputs)  # type: ignore[attr-defined]
            found[role] = Trainer(sources.config.registry, setup, job).leaves()
    return found


STAGE = TrainPolicy()
