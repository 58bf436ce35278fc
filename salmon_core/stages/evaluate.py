"""Stage `evaluate`: each evaluator's results in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from salmon_core.api.component import ComponentSpec
from salmon_core.api.evaluation import Evaluator, Metrics
from salmon_core.api.memory import Use
from salmon_core.api.models import Sampling
from salmon_core.api.reward import RewardSpec
from salmon_core.config.run_config import RunConfig
from salmon_core.errors import boundary
from salmon_core.plugins.options import require
from salmon_core.plugins.registry import Registry
from salmon_core.principles.per_prompt import Pools
from salmon_core.reward.spec import reward_spec
from salmon_core.reward.steering import with_record
from salmon_core.stages.base import Opens, Stage
from salmon_core.stages.judge import JudgeSetup, judge_setup, other_setup
from salmon_core.stages.results import checked, metrics_to_json
from salmon_core.stages.sample import sampler_use, sampling_of
from salmon_core.stages.sources import ModelInput, Sources, StageOutput
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.work import Work


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
        judges: of evaluators that have one of their own, by their place among `evaluators`.
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
    judges: Mapping[int, JudgeSetup]


class Evaluate(Stage[EvaluateInputs]):
    """Asks the evaluators, one after the other."""

    name = "evaluate"
    outputs = ("[0-9]*.json",)
    records = ("samples-*.parquet", "completed-*.parquet", "judged-*.parquet", "asked-*.parquet")

    def active(self, config: RunConfig) -> bool:
        return bool(config.evaluators)

    def inputs(self, sources: Sources) -> EvaluateInputs:
        config = sources.config
        model = sources.reward_model()
        sampling = sampling_of(config)
        judge = judge_setup(sources)
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
            judge=judge,
            judge_set=config.judge_principles.name,
            reward=with_record(reward_spec(config, None if model is None else model.spec), sources.run.record),
            reward_model=model,
            pools=config.pools,
            reward_set=config.reward_principles.name,
            show=config.config.reward.show,
            texts=texts_of(sources, "reward"),
            evaluators=config.evaluators,
            judges={index: other_setup(judge, sources, choice) for index, choice in config.evaluation_judges.items()},
        )

    def opens(self, inputs: EvaluateInputs, registry: Registry) -> tuple[Opens, ...]:
        """Those of the roles that an evaluator needs, each by itself."""
        needs: set[str] = set()
        judged: list[Opens] = []
        for index, spec in enumerate(inputs.evaluators):
            own = set(getattr(registry.build(spec), "needs", ()))
            needs |= own
            if "judge" in own:
                opened = inputs.judges.get(index, inputs.judge).opens(registry)
                judged += [each for each in opened if each not in judged]
        limits = inputs.texts.limits
        sampled = sampler_use(inputs.sampling, limits)
        found = [
            Opens(inputs.engine, model.spec, sampled)
            for role, model in (("base", inputs.base), ("initial", inputs.initial), ("policy", inputs.policy))
            if role in needs
        ]
        if "reward" in needs and inputs.reward.model is not None:
            found.append(Opens(inputs.reward.engine, inputs.reward.model, Use("scorer", text=limits.total)))
        return (*found, *judged)

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
                    metrics = evaluator.evaluate(run.seen_by(evaluator, str(owned.owner), what, index))
                found = checked(metrics, str(owned.owner), what)
                if index in inputs.judges:
                    found = _judged_by(found, inputs.judges[index])
                work.write_text(target, metrics_to_json(found))
        progress(len(inputs.evaluators))


def _judged_by(metrics: Metrics, setup: JudgeSetup) -> Metrics:
    """The run's verdict is about another judge: the sections say which it was instead."""
    said = f"Judged by {setup.judge.name} with {setup.model.spec.path}, of whom the stage verdict knows nothing."
    sections = (
        replace(each, judged=False, note=" ".join(filter(None, (each.note, said)))) if each.judged else each
        for each in metrics.sections
    )
    return replace(metrics, sections=tuple(sections))


STAGE = Evaluate()
