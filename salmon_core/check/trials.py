"""What is tried: each file of the configuration, each component, each trainer's own arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import (
    Ability,
    Engine,
    ModelSpec,
    OpenModel,
    TokenCodec,
)
from salmon_core.check.stand_ins import Asked, Known, Probe, Unopened
from salmon_core.config.run_config import JudgeChoice
from salmon_core.data.gold import read_gold
from salmon_core.data.preferences import PreferenceSource, read_preferences
from salmon_core.errors import PluginError, SalmonError, StageError, boundary
from salmon_core.pipeline import SECTIONS
from salmon_core.plugins.options import require
from salmon_core.records import Completion, Pair, Prompt, Rollout
from salmon_core.reward.forms import Form, frame_of
from salmon_core.reward.reward import Reward
from salmon_core.reward.scorers import ability_of
from salmon_core.reward.spec import reward_spec
from salmon_core.run.run import Run
from salmon_core.stages import stage
from salmon_core.stages.evaluated_run import ABILITIES
from salmon_core.stages.judge import JudgeSetup, judge_setup
from salmon_core.stages.prompts import STAGE as PROMPTS
from salmon_core.stages.prompts import prepared
from salmon_core.stages.self_align import STAGE as SELF_ALIGN
from salmon_core.stages.self_align import preamble_tokens
from salmon_core.stages.sft import STAGE as SFT
from salmon_core.stages.sft import rows_of
from salmon_core.stages.sources import Sources
from salmon_core.stages.training import Trainer, TrainingStage

Trial = tuple[str, str, Callable[[], object]]
#: rows of a file that are read
_ROWS = 100
#: role -> (key of the configuration, the engine that opens it, what for)
_MODELS: dict[str, tuple[str, str, Ability]] = {
    "policy": ("policy.model", "sample", "sampler"),
    "judge": ("judge.model", "judge", "chooser"),
    "reward": ("reward_model.path", "reward", "scorer"),
    "reward-init": ("reward_model.init", "sample", "sampler"),
    "self-align": ("self_align.model", "self_align", "sampler"),
}


class Trials:
    """Each thing to try: what it is, the key it is about, and the trial, which raises SalmonError.

    Args:
        note: told of what to know.
    """

    def __init__(self, run: Run, note: Callable[[str], None]):
        self._run, self._note = run, note
        self._config, self._registry, self._sources = run.config, run.config.registry, Sources(run)
        self._prompt = Prompt.from_text("What is a river?")

    def __iter__(self) -> Iterator[Trial]:
        yield "run.folder", "run.folder", self._folder
        config = self._config
        for role, spec in config.models.items():
            key, engine, ability = _MODELS[role]
            if role == "reward":
                ability = ability_of(config.reward_template)
                if not config.reward_template.reads_principles:
                    self._note(f"the reward model {spec.path} reads no principles: they are drawn and change nothing")
            trial = partial(self._model, engine, spec, ability)
            yield f"{key} ({spec.path})", key, partial(self._judge_model, spec) if role == "judge" else trial
        if config.trains_reward_model and "reward" not in config.models:
            yield f"engine {config.engines['reward'].name}", "reward.engine", partial(self._able, "reward", "scorer")
        yield f"prompts {config.prompts.name}", "prompts", self._prompts
        if config.self_align is not None:
            if "self-align" not in config.models:
                trial = partial(self._model, "self_align", config.models["policy"], "sampler")
                yield f"engine {config.engines['self_align'].name}", "self_align.engine", trial
            yield "self_align", "self_align", self._preamble
        if "sft" in config.files:
            yield "sft.data", "sft.data", self._demonstrations
        if "gold" in config.files and "verdict" in self._sources.stages:
            names = tuple(config.judge_principles.names)
            yield "judge.gold", "judge.gold", partial(read_gold, config.files["gold"], names)
        if config.preferences is not None:
            yield "preferences", "preferences", self._preferences
        if config.pretrains_reward_model:
            key = "reward_model.pretrain.preferences"
            yield key, key, self._pretraining
        if "judge" in self._sources.stages or config.evaluators:
            yield f"judge {config.judge.name}", "judge.judge", self._judge
        if "label" in self._sources.stages:
            yield f"labeller {config.labeller.name}", "label", partial(self._build, config.labeller, "label")
        for index, bonus in enumerate(config.bonuses):
            key = f"reward.bonuses[{index}]"
            yield f"bonus {bonus.label}", key, partial(self._bonus, index)
        for index, chosen in enumerate(config.evaluators):
            yield f"evaluator {chosen.name}", f"evaluate[{index}]", partial(self._evaluator, chosen, index)
            if index in config.evaluation_judges:
                own_judge = partial(self._own_judge, config.evaluation_judges[index])
                yield f"judge of {chosen.name}", f"evaluate[{index}].judge", own_judge
        for name in self._sources.stages:
            own = stage(name)
            if isinstance(own, TrainingStage):
                yield f"trainer of {name}", SECTIONS[name], partial(self._trainer, own)

    # -- files -------------------------------------------------------------------------------------------------------

    def _folder(self) -> None:
        """The nearest folder that exists is one, and may be written to."""
        path = self._run.path
        while not path.exists() and not path.is_symlink():
            path = path.parent
        if not path.is_dir():
            raise StageError("is no folder, so no run can lie in it", where=str(path), hint="choose another run.folder")
        if not os.access(path, os.W_OK | os.X_OK):
            raise StageError("cannot be written to", where=str(path), hint="choose another run.folder")

    def _prompts(self) -> None:
        found, counts = prepared(PROMPTS.inputs(self._sources), self._registry, self._note)
        self._note(f"{counts['train']} prompts to train on, {counts['test']} held out")
        self._prompt = next(prompt for prompt in found if prompt.split == "train")

    def _demonstrations(self) -> None:
        for _ in islice(rows_of(SFT.inputs(self._sources), self._registry, made=False), _ROWS):
            pass

    def _preamble(self) -> None:
        """The preamble of a prompt, and the text that asks for a question, have room in the model."""
        tokens, room = preamble_tokens(SELF_ALIGN.inputs(self._sources), self._registry, self._prompt)
        beside = "" if room is None else f" of {room}"
        self._note(f"self-align: a preamble has about {tokens}{beside} tokens, beside those of the answer")

    def _preferences(self) -> None:
        assert self._config.preferences is not None
        self._some_rows(self._config.preferences)

    def _pretraining(self) -> None:
        assert self._config.pretraining is not None
        self._some_rows(self._config.pretraining.source)

    def _some_rows(self, source: PreferenceSource) -> None:
        few = _ROWS if source.limit is None else min(_ROWS, source.limit)
        read_preferences(source if source.ratings else replace(source, limit=few))

    # -- components --------------------------------------------------------------------------------------------------

    def _build(self, spec: ComponentSpec, *methods: str) -> Any:
        return require(self._registry.owned(spec), self._registry.build(spec), *methods)

    def _able(self, role: str, ability: Ability) -> Engine:
        spec = self._config.engines[role]
        engine: Engine = self._build(spec, "codec")
        if not callable(getattr(engine, ability, None)):
            raise SalmonError(f"engine {spec.name!r} opens no {ability}", hint="choose another engine")
        return engine

    def _model(self, role: str, spec: ModelSpec, ability: Ability) -> None:
        engine = self._able(role, ability)
        check = getattr(engine, "check", None)
        with boundary(self._config.engines[role].owner, f"engine {self._config.engines[role].name!r}, check"):
            check(spec, ability) if check is not None else engine.codec(spec)

    def _judge_model(self, spec: ModelSpec) -> None:
        """For what the judge asks it, if it asks it at all; what else is wrong with a judge is said of the judge."""
        wanted: list[Ability] = []

        def asked(ability: Ability) -> OpenModel:
            wanted.append(ability)
            raise Asked

        with suppress(SalmonError):
            self._ask(asked)
        if wanted:
            self._model("judge", spec, wanted[0])

    def _judge(self) -> None:
        """One made-up pair, up to where a model or an API answers; then, whether choices are one token each."""
        setup = judge_setup(self._sources)
        spec = setup.model.spec if setup.model.made_by is None else self._config.models["policy"]
        opened: list[Unopened] = []

        def asked(ability: Ability) -> OpenModel:
            engine = self._able("judge", ability)
            with boundary(setup.engine.owner, f"engine {setup.engine.name!r}, codec"):
                opened.append(Unopened(engine.codec(spec), ability))
            return opened[-1]

        form = self._ask(asked)
        if form is not None:
            way = "in a conversation, by its chat template" if form == "chat" else "as plain text"
            section = self._config.config
            named = section.policy.model if section.judge.model == "policy" else section.judge.model
            self._note(f"the judge {named} is asked {way} (judge.form: {setup.form})")
        if opened and opened[-1].ability == "chooser":
            self._choices(setup, opened[-1].codec, spec.path)

    def _ask(self, open_model: Callable[[Ability], OpenModel]) -> Form | None:
        """Has the judge check itself, or asks it about a pair; the form in which a model was asked."""
        setup = judge_setup(self._sources)
        if not setup.principles:
            return None
        probe = setup.opened(
            Probe, self._registry, Path(), principles=setup.principles, open_model=open_model, codecs=lambda: ()
        )
        with probe:
            try:
                if not probe.check():
                    probe.judge([self._pair()], setup.principles[:1])
            except SalmonError as error:
                if not isinstance(error.__cause__, Asked):
                    raise
            return probe.form

    def _choices(self, setup: JudgeSetup, codec: TokenCodec, model: str) -> None:
        choices = setup.texts.template.choices
        with boundary(setup.engine.owner, f"engine {setup.engine.name!r}, codec"):
            verdict = frame_of(setup.texts.template, codec, setup.form).after
            before = codec.encode(verdict)
            found = []
            for choice in choices:
                ids = codec.encode(verdict + choice)
                if ids[: len(before)] != before or len(ids) != len(before) + 1:
                    raise SalmonError(
                        f"the choice {choice!r} of the template is not one single token of {model}",
                        hint="choose another template, or a judge.model with another tokenizer",
                    )
                found.append(ids[-1])
        if len(set(found)) != len(found):
            raise SalmonError(f"the choices {choices} are the same token of {model}")

    def _pair(self) -> Pair:
        texts = ("A plain answer.", "Another answer, a little longer.")
        first, second = (Completion(self._prompt.id, i, text, (), 6, True) for i, text in enumerate(texts))
        return Pair(self._prompt, first, second)

    def _bonus(self, index: int) -> None:
        """A made-up rollout, scored as in training."""
        spec = reward_spec(self._config, None)
        rollout = Rollout.from_text(
            self._prompt,
            "A plain answer.",
            n_tokens=4,
            principles=tuple(self._config.shown(p) for p in self._config.reward_principles)[
                : self._config.config.reward.show
            ],
            completion_ids=(1, 2, 3, 4),
            stopped=True,
        )
        bonuses = (self._config.bonuses[index],)
        alone = replace(spec, model=None, rm_weight=0.0, bonuses=bonuses, interventions=(), on_failure="stop")
        with Reward.from_spec(alone) as reward:
            reward([rollout, rollout])

    def _evaluator(self, spec: ComponentSpec, index: int) -> None:
        evaluator = self._build(spec, "evaluate")
        needs = set(getattr(evaluator, "needs", ()))
        if unknown := sorted(needs - ABILITIES.keys()):
            raise PluginError(spec.owner, f"needs {', '.join(unknown)}; there are {', '.join(ABILITIES)}")
        check = getattr(evaluator, "check", None)
        if check is not None:
            with boundary(spec.owner, f"evaluator {spec.name!r}, check"):
                check(Known(self._config))
        own = self._config.evaluation_judges.get(index)
        judge = self._config.judge if own is None or own.judge is None else own.judge
        if "judge" in needs and hasattr(self._build(judge, "judge"), "check"):
            self._note(
                f"evaluator {spec.name} asks the judge about pairs that are sampled after training, and"
                f" {judge.name} may know nothing of them"
            )

    def _own_judge(self, choice: JudgeChoice) -> None:
        """An evaluator's, of which is known what its engine opens, but not what it will be asked."""
        spec = choice.engine or self._config.engines["judge"]
        engine: Engine = self._build(spec, "codec")
        ability = next((each for each in ("sampler", "chooser") if callable(getattr(engine, each, None))), None)
        if ability is None:
            raise SalmonError(f"engine {spec.name!r} opens no model that can be asked", hint="choose another engine")
        model = choice.model or self._config.models.get("judge") or self._config.models["policy"]
        with boundary(spec.owner, f"engine {spec.name!r}, check"):
            check = getattr(engine, "check", None)
            check(model, ability) if check is not None else engine.codec(model)

    def _trainer(self, own: TrainingStage[Any]) -> None:
        inputs = own.inputs(self._sources)
        folder = self._run.stage(own.name).path
        Trainer(self._registry, own.setup(inputs), own.job(inputs, folder)).check()
