"""Stage `evaluate`: each evaluator's results in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass

from salmon_core.api.component import ComponentSpec
from salmon_core.api.evaluation import Evaluator
from salmon_core.api.models import Sampling
from salmon_core.api.reward import RewardSpec
from salmon_core.config.run_config import RunConfig
from salmon_core.errors import boundary
from salmon_core.plugins.options import require
from salmon_core.principles.per_prompt import Pools
from salmon_core.reward.spec import reward_spec
from salmon_core.stages.base import ModelInput, Sources, Stage, StageOutput, Work
from salmon_core.stages.judge import JudgeSetup, judge_setup
from salmon_core.stages.results import checked, metrics_to_json
from salmon_core.stages.sample import sampling_of
from salmon_core.stages.texts import Texts, texts_of


@dataclass(frozen=True)
class EvaluateInputs:
    """All that evaluators see of a run.

    Attributes:
        base: the configured policy, before any training.
        initial: the policy before RL, `policy` after it.
        engine: samples them.
        sampling: of held-out prompts: as configured, with a seed of its own and without stop strings, so that a policy
            that does not stop shows it.
        reward: with `reward_model` as its model.
        pools: what principles are drawn from, `show` for each prompt.
    """

    seed: int
    prompts: StageOutput
    base: ModelInput
    initial: ModelInput
    policy: ModelInput
    engine: ComponentSpec
    sampling: Sampling
    judge: JudgeSetup
    judge_set: str
    reward: RewardSpec
    reward_model: ModelInput | None
    pools: Pools
    reward_set: str
    show: int
    texts: Texts
    evaluators: tuple[ComponentSpec, ...]


class Evaluate(Stage[EvaluateInputs]):
    """Asks the evaluators, one after the other."""

    name = "evaluate"
    outputs = ("[0-9]*.json",)
    records = ("samples-*.parquet",)

    def active(self, config: RunConfig) -> bool:
        return bool(config.evaluators)

    def inputs(self, sources: Sources) -> EvaluateInputs:
        config = sources.config
        model = sources.reward_model()
        sampling = sampling_of(config)
        return EvaluateInputs(
            seed=config.config.run.seed,
            prompts=sources.output("prompts"),
            base=sources.base(),
            initial=sources.initial(),
            policy=sources.aligned(),
            engine=config.engines["sample"],
            sampling=Sampling(
                sampling.temperature,
                sampling.top_p,
                sampling.max_new_tokens,
                seed=sampling.seed + 1,
                batch_size=sampling.batch_size,
            ),
            judge=judge_setup(sources),
            judge_set=config.judge_principles.name,
            reward=reward_spec(config, None if model is None else model.spec),
            reward_model=model,
            pools=config.pools,
            reward_set=config.reward_principles.name,
            show=config.config.reward.show,
            texts=texts_of(sources, "reward"),
            evaluators=config.evaluators,
        )

    def work(self, inputs: EvaluateInputs, work: Work) -> None:
        from salmon_core.stages.evaluated_run import StageRun

        progress = work.progress("evaluators", len(inputs.evaluators))
        with StageRun(inputs, work) as run:
            for index, spec in enumerate(inputs.evaluators):
                progress(index)
                target = f"{index:02d}-{spec.name}.json"
                if work.has(target):
                    continue
                owned = work.registry.owned(spec)
                what = f"evaluator {spec.name!r}"
                with boundary(str(owned.owner), what):
                    evaluator: Evaluator = require(owned, work.registry.build(spec), "evaluate")
                    metrics = evaluator.evaluate(run.seen_by(evaluator, str(owned.owner), what))
                work.write_text(target, metrics_to_json(checked(metrics, str(owned.owner), what)))
        progress(len(inputs.evaluators))


STAGE = Evaluate()
