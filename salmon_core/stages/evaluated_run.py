"""A run as its evaluators see it: what the stage `evaluate` is made from, and the models by role."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from salmon_core.api.evaluation import Evaluator, Oracle, Question, Role
from salmon_core.api.models import Ability, ModelSpec, OpenModel, Sampler, Sampling, Scorer
from salmon_core.api.principles import PrincipleSet
from salmon_core.api.reward import RewardSpec
from salmon_core.closing import Closing
from salmon_core.errors import PluginError, StageError
from salmon_core.plugins.oracles import find_oracle
from salmon_core.records import Completion, Judgment, Message, Pair, Prompt, RewardBreakdown, Rollout, ShownPrinciple
from salmon_core.reward.questions import QuestionRenderer
from salmon_core.reward.reward import Reward
from salmon_core.reward.scorers import ability_of, scorer_of
from salmon_core.rng import named_rng
from salmon_core.run.identity import fingerprint
from salmon_core.run.models import ModelPool
from salmon_core.stages.evaluate import EvaluateInputs
from salmon_core.stages.evaluated_rows import Kept
from salmon_core.stages.prompts import read_prompts
from salmon_core.stages.sample import pairs_of, sampled
from salmon_core.stages.work import Work

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

    def seen_by(self, evaluator: Evaluator, owner: str, what: str, index: int) -> SeenRun:
        """The run as this evaluator may use it: the roles it needs, together only if it says so.

        Args:
            index: its place among the evaluators.
        """
        needs = frozenset(getattr(evaluator, "needs", ()))
        if unknown := sorted(needs - ABILITIES.keys()):
            message = f"needs {', '.join(unknown)}; there are {', '.join(ABILITIES)}"
            raise PluginError(owner, message, what=what)
        self.models.most = max(1, len(needs)) if getattr(evaluator, "together", False) else 1
        return SeenRun(self, needs, owner, what, index)


class SeenRun:
    """An `EvaluatedRun`; see there."""

    def __init__(self, stage: StageRun, needs: frozenset[str], owner: str, what: str, index: int):
        self._stage, self._needs, self._owner, self._what = stage, needs, owner, what
        self._inputs, self._registry = stage.inputs, stage.work.registry
        self._index, self._kept = index, Kept(stage.work)
        own = self._inputs.judges.get(index)
        self._judge = self._inputs.judge if own is None else own
        #: whose judgments these are, in the names of files
        self._judge_key = "run" if own is None else str(index)

    @property
    def seed(self) -> int:
        return self._inputs.seed

    @property
    def judge_principles(self) -> PrincipleSet:
        return PrincipleSet(self._inputs.judge_set, self._judge.principles)

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
        return self._completions(f"samples-{role}-{samples}", role, None, samples, None)

    def pairs(self, samples: int = 4) -> list[Pair]:
        return pairs_of(self.prompts("test"), self.samples("initial", samples))

    def complete(
        self, role: Role, prompts: Sequence[Prompt], samples: int = 1, *, temperature: float | None = None
    ) -> list[Completion]:
        key = [[prompt.id, list(prompt.messages)] for prompt in prompts]
        name = f"completed-{role}-{fingerprint([key, samples, temperature])}"
        return self._completions(name, role, prompts, samples, temperature)

    def _completions(
        self, name: str, role: Role, prompts: Sequence[Prompt] | None, samples: int, temperature: float | None
    ) -> list[Completion]:
        """Of the held-out prompts, or of others; drawn once."""

        def draw() -> list[Completion]:
            asked = self.prompts("test") if prompts is None else prompts
            if not asked and prompts is None:
                hint = "set `held_out`, or mark prompts `test`"
                raise StageError("no prompts are held out", where="evaluate", hint=hint)
            if ABILITIES[role] != "sampler":
                raise PluginError(self._owner, f"asks the role {role!r} for samples", what=self._what)
            model = cast(Sampler, self.open(role))
            renderer = self._inputs.texts.renderer(self._registry, model.codec)
            sampling = replace(self._inputs.sampling, samples=samples)
            if temperature is not None:
                sampling = replace(sampling, temperature=temperature)
            total = samples * len(asked)
            with self._stage.work.progress(f"completions of {role}", total).upto(total):
                return sampled(model, renderer, asked, sampling)

        return self._kept.completions(name, draw)

    def judge(self, pairs: Sequence[Pair]) -> list[Judgment]:
        self._allow("judge")
        self._stage.models.close()  # the judge opens its own, if it asks for one
        setup = self._judge
        with setup.open(self._registry, self._stage.work.cache) as judging:
            return self._kept.judgments(self._judge_key, pairs, judging.judge)

    def ask(
        self, questions: Sequence[Question], markers: Sequence[str], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[Completion]:
        self._allow("judge")
        setup = self._judge
        sampling = Sampling(
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            samples=1,
            stop=setup.texts.template.stop,
            seed=setup.seed,
            batch_size=self._inputs.sampling.batch_size,
        )

        def answer(some: Sequence[Question]) -> list[Completion]:
            model = cast(Sampler, self._stage.models.get(setup.engine, setup.model.spec, "sampler"))
            render = QuestionRenderer(
                model.codec,
                questions,
                markers,
                others=(setup.texts.codec(self._registry),),
                form=setup.form,
                room=max_new_tokens,
            )
            texts = [(Prompt.from_text(each.text, id=each.id), render(each)) for each in some]
            if render.cut:
                self.note(f"{self._what}: the judge was shown a part of the texts of {render.cut} questions: too long")
            return model.sample(texts, sampling)

        key = [self._judge_key, list(markers), max_new_tokens, temperature]
        return self._kept.answers(key, questions, answer)

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
        return find_oracle(self._registry, name)

    def open(self, role: Role) -> OpenModel:
        self._allow(role)
        inputs = self._inputs
        if role == "reward":
            spec, template = self._spec(role), inputs.texts.reward
            assert template is not None
            return scorer_of(self._stage.models.get(inputs.reward.engine, spec, ability_of(template)), template)
        engine = self._judge.engine if role == "judge" else inputs.engine
        return self._stage.models.get(engine, self._spec(role), ABILITIES[role])

    def model(self, role: Role) -> ModelSpec:
        self._allow(role)
        self._stage.models.close()
        return self._spec(role)

    def _spec(self, role: Role) -> ModelSpec:
        inputs = self._inputs
        if role == "reward":
            if inputs.reward_model is None:
                raise StageError("there is no reward model to ask", where=self._what)
            return inputs.reward_model.spec
        of_role = {"base": inputs.base, "initial": inputs.initial, "policy": inputs.policy, "judge": self._judge.model}
        return of_role[role].spec

    @property
    def folder(self) -> Path:
        path = self._stage.work.path / f"{self._index:02d}-own"
        path.mkdir(exist_ok=True)
        return path

    def progress(self, what: str, total: int) -> Callable[[int], None]:
        return self._stage.work.progress(what, total)

    def note(self, text: str) -> None:
        self._stage.work.note(text)

    def _allow(self, role: str) -> None:
        if role not in self._needs:
            hint = f"its class says needs = {{{', '.join(map(repr, sorted(self._needs)))}}}"
            raise PluginError(
                self._owner, f"uses the model of the role {role!r} without needing it", what=self._what, hint=hint
            )
