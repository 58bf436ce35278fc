"""A run as its evaluators see it: what the stage `evaluate` is made from, and the models by role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from salmon_core.api.evaluation import Evaluator, Oracle, Role
from salmon_core.api.models import Ability, OpenModel, Sampler, Scorer
from salmon_core.api.principles import PrincipleSet
from salmon_core.api.reward import RewardSpec
from salmon_core.closing import Closing
from salmon_core.data import parquet
from salmon_core.errors import PluginError, StageError, boundary
from salmon_core.records import Completion, Judgment, Message, Pair, Prompt, RewardBreakdown, Rollout, ShownPrinciple
from salmon_core.reward.reward import Reward
from salmon_core.reward.scorers import ability_of, scorer_of
from salmon_core.rng import named_rng
from salmon_core.run.models import ModelPool
from salmon_core.stages.base import Work
from salmon_core.stages.evaluate import EvaluateInputs
from salmon_core.stages.prompts import read_prompts
from salmon_core.stages.sample import pairs_of, sampled

#: role -> what its model is opened for
ABILITIES: dict[str, Ability] = {
    "base": "sampler",
    "initial": "sampler",
    "policy": "sampler",
    "reward": "scorer",
    "judge": "chooser",
}


class StageRun(Closing):
    """What all evaluators of a stage share: the open models, and completions that are drawn once."""

    def __init__(self, inputs: EvaluateInputs, work: Work):
        self.inputs, self.work = inputs, work
        self.models = ModelPool(work.registry)

    def close(self) -> None:
        """Closes the models."""
        self.models.close()

    def seen_by(self, evaluator: Evaluator, owner: str, what: str) -> SeenRun:
        """The run as this evaluator may use it: the roles it needs, together only if it says so."""
        needs = frozenset(getattr(evaluator, "needs", ()))
        if unknown := sorted(needs - ABILITIES.keys()):
            message = f"needs {', '.join(unknown)}; there are {', '.join(ABILITIES)}"
            raise PluginError(owner, message, what=what)
        self.models.most = max(1, len(needs)) if getattr(evaluator, "together", False) else 1
        return SeenRun(self, needs, owner, what)


class SeenRun:
    """An `EvaluatedRun`; see there."""

    def __init__(self, stage: StageRun, needs: frozenset[str], owner: str, what: str):
        self._stage, self._needs, self._owner, self._what = stage, needs, owner, what
        self._inputs, self._registry = stage.inputs, stage.work.registry

    @property
    def seed(self) -> int:
        return self._inputs.seed

    @property
    def judge_principles(self) -> PrincipleSet:
        return PrincipleSet(self._inputs.judge_set, self._inputs.judge.principles)

    @property
    def reward_principles(self) -> PrincipleSet:
        return PrincipleSet(self._inputs.reward_set, self._inputs.pools.principles)

    @property
    def rewarded(self) -> tuple[ShownPrinciple, ...]:
        return tuple(self._inputs.pools.shown.values())

    @property
    def reward(self) -> RewardSpec:
        return self._inputs.reward

    def prompts(self, split: str | None = "test") -> list[Prompt]:
        return read_prompts(self._inputs.prompts.path, split)

    def samples(self, role: Role, samples: int = 4) -> list[Completion]:
        name, work = f"samples-{role}-{samples}.parquet", self._stage.work
        if work.has(name):
            return parquet.read_rows(work.path / name, parquet.COMPLETIONS, parquet.to_completion)
        prompts = self.prompts("test")
        if not prompts:
            raise StageError("no prompts are held out", where="evaluate", hint="set `held_out`, or mark prompts `test`")
        if ABILITIES[role] != "sampler":
            raise PluginError(self._owner, f"asks the role {role!r} for samples", what=self._what)
        model = cast(Sampler, self.open(role))
        renderer = self._inputs.texts.renderer(self._registry, model.codec)
        sampling = replace(self._inputs.sampling, samples=samples)
        completions = sampled(model, renderer, prompts, sampling)
        work.write_rows(name, completions, parquet.COMPLETIONS)
        return completions

    def pairs(self, samples: int = 4) -> list[Pair]:
        return pairs_of(self.prompts("test"), self.samples("initial", samples))

    def judge(self, pairs: Sequence[Pair]) -> list[Judgment]:
        self._allow("judge")
        self._stage.models.close()  # the judge opens its own, if it asks for one
        with self._inputs.judge.open(self._registry, self._stage.work.cache) as judging:
            return judging.judge(pairs)

    def shown(self, prompt: Prompt, *names: str | int) -> tuple[ShownPrinciple, ...]:
        return self._inputs.pools.draw(prompt, named_rng(self.seed, *names), show=self._inputs.show)

    def score(self, rollouts: Sequence[Rollout], *, explain: bool = False) -> list[RewardBreakdown]:
        spec = self.reward
        scorer = cast(Scorer, self.open("reward")) if spec.model is not None else None
        return Reward.from_spec(spec, scorer=scorer)(rollouts, range(len(rollouts)) if explain else ())

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        model = cast(Scorer, self.open("reward"))
        renderer = self._inputs.texts.reward_renderer(self._registry, model.codec)
        requests = [renderer.reward(messages, completion, sets) for messages, completion, sets in texts]
        return model.score(requests)

    def oracle(self, name: str) -> Oracle:
        owned = self._registry.find("oracles", name)
        target = owned.load()
        with boundary(str(owned.owner), f"oracle {name!r}"):
            oracle: Oracle = target() if isinstance(target, type) else target
        return oracle

    def open(self, role: Role) -> OpenModel:
        self._allow(role)
        inputs = self._inputs
        if role == "reward":
            if inputs.reward_model is None:
                raise StageError("there is no reward model to ask", where=self._what)
            template = inputs.texts.reward
            assert template is not None
            spec = inputs.reward_model.spec
            return scorer_of(self._stage.models.get(inputs.reward.engine, spec, ability_of(template)), template)
        if role == "judge":
            engine, model = inputs.judge.engine, inputs.judge.model.spec
        else:
            of_role = {"base": inputs.base, "initial": inputs.initial, "policy": inputs.policy}
            engine, model = inputs.engine, of_role[role].spec
        return self._stage.models.get(engine, model, ABILITIES[role])

    def _allow(self, role: str) -> None:
        if role not in self._needs:
            hint = f"its class says needs = {{{', '.join(map(repr, sorted(self._needs)))}}}"
            raise PluginError(
                self._owner, f"uses the model of the role {role!r} without needing it", what=self._what, hint=hint
            )
