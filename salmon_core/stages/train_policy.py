"""Stage `train-policy`: reinforcement learning against the reward (arXiv 2310.05910, 3.3), or on preference rows.

In RL every draw of principles of the whole run is written down before it starts, so a trainer only carries rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from salmon_core.api.reward import RewardSpec
from salmon_core.api.training import Job, Leaves
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.data.interventions import RECORD
from salmon_core.errors import DataError
from salmon_core.principles.draw import unroll
from salmon_core.principles.per_prompt import Pools
from salmon_core.records import Prompt, ShownPrinciple
from salmon_core.reward.spec import reward_spec
from salmon_core.run.identity import uncounted
from salmon_core.sharing.cards import policy_card
from salmon_core.sharing.facts import CARD, Described
from salmon_core.stages import policy_rows, stage
from salmon_core.stages.policy_rows import PolicyRowsInputs
from salmon_core.stages.prompts import read_prompts
from salmon_core.stages.sources import ModelInput, Sources, StageOutput
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.training import Trainer, TrainerSetup, TrainingStage, trainer_setup
from salmon_core.stages.work import Work

_CARD = f"data/{CARD}"


@dataclass(frozen=True)
class TrainPolicyInputs:
    """Attributes:
    reward: with `reward_model` as its model.
    pools: what principles are drawn from, by weight, and how the reward model is shown them.
    show: principles drawn for each row.
    epochs: visits of each prompt, unless the options fix the number of steps.
    """

    seed: int
    prompts: StageOutput
    policy: ModelInput
    reward: RewardSpec
    reward_model: ModelInput | None
    pools: Pools
    show: int
    epochs: int
    algorithm: str
    texts: Texts
    trainer: TrainerSetup
    made: Mapping[str, Leaves] = uncounted()
    described: Described = uncounted()


class TrainPolicy(TrainingStage[TrainPolicyInputs | PolicyRowsInputs]):
    """Draws, then trains; or trains on preference rows, where that is what the algorithm does."""

    name = "train-policy"
    prepared = "rl_prompts.parquet"
    beside = (_CARD,)
    outputs = ("*.parquet", *beside, "model")

    def worked(self, inputs: TrainPolicyInputs | PolicyRowsInputs) -> tuple[str, ...]:
        return (policy_rows.FILE if isinstance(inputs, PolicyRowsInputs) else self.prepared, *self.beside)

    def active(self, config: RunConfig) -> bool:
        return config.config.train.algorithm != "none"

    def inputs(self, sources: Sources) -> TrainPolicyInputs | PolicyRowsInputs:
        config = sources.config
        if config.trains_on_preferences:
            return policy_rows.inputs_of(sources)
        model = sources.reward_model() if config.config.reward.rm_weight != 0 else None
        return TrainPolicyInputs(
            seed=config.config.run.seed,
            prompts=sources.output("prompts"),
            policy=sources.initial(),
            reward=reward_spec(config, None if model is None else model.spec),
            reward_model=model,
            pools=config.pools,
            show=config.config.reward.show,
            epochs=config.config.train.epochs,
            algorithm=config.config.train.algorithm,
            texts=texts_of(sources, "reward"),
            trainer=trainer_setup(sources, self.name),
            made=_made(sources),
            described=Described.of(config),
        )

    def work(self, inputs: TrainPolicyInputs | PolicyRowsInputs, work: Work) -> None:
        if isinstance(inputs, PolicyRowsInputs):
            policy_rows.prepare(inputs, work)
        else:
            self._draw(inputs, work)
        chat = inputs.policy.spec.fallback_chat_template
        work.write_text(_CARD, policy_card(inputs.described, chat_template=chat))

    def _draw(self, inputs: TrainPolicyInputs, work: Work) -> None:
        """Every row of the run, with its principles."""
        renderer = inputs.texts.renderer(work.registry)
        prompts = read_prompts(inputs.prompts.path, "train")
        needed = Trainer(work.registry, inputs.trainer, self.job(inputs, work.path)).rows_needed()
        epochs = inputs.epochs if needed is None else math.ceil(needed / len(prompts))
        visits = unroll(prompts, partial(inputs.pools.draw, show=inputs.show), epochs=epochs, seed=inputs.seed)
        texts: dict[str, str] = {}
        rows = []
        for number, prompt, drawn in islice(visits, needed):
            if prompt.id not in texts:
                texts[prompt.id] = renderer.policy(prompt)
            no_rules_without_veto(drawn, inputs.reward, prompt)
            rows.append(parquet.rl_row(number, prompt, texts[prompt.id], drawn))
        work.write_rows(self.prepared, rows, parquet.RL_PROMPTS)

    def setup(self, inputs: TrainPolicyInputs | PolicyRowsInputs) -> TrainerSetup:
        return inputs.trainer

    def job(self, inputs: TrainPolicyInputs | PolicyRowsInputs, folder: Path) -> Job:
        if isinstance(inputs, PolicyRowsInputs):
            return policy_rows.job_of(inputs, folder)
        return inputs.trainer.job(
            "train-policy",
            inputs.algorithm,
            folder,
            self.prepared,
            model=inputs.policy.spec,
            seed=inputs.seed,
            reward=replace(inputs.reward, record=str(folder.parent / RECORD)),
            made=inputs.made,
        )


def no_rules_without_veto(drawn: Sequence[ShownPrinciple], reward: RewardSpec, prompt: Prompt) -> None:
    """
    Raises:
        DataError: a principle is a hard rule, and nothing says when it is broken.
    """
    rule = next((each.name for each in drawn if each.veto), None)
    if rule is not None and reward.veto is None:
        raise DataError(
            f"{rule!r} is a hard rule",
            where=f"prompt {prompt.id}",
            hint="set reward.veto: `below` which score a rule is broken, and the `floor` that the reward is then",
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
