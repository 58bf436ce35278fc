"""Names become components, options are checked by their owners, models and files get paths.

Everything wrong is found in one go. Nothing heavy is imported: a component's module is, its trainer or model is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import ModelSpec
from salmon_core.api.principles import PrincipleSet
from salmon_core.api.reward import BonusSpec, ScheduledPrinciple
from salmon_core.api.templates import Template
from salmon_core.api.training import Backend, Launch
from salmon_core.config.load import parse_config, read_config
from salmon_core.config.names import PLUGIN, find_principle_set, find_template, resolve_model
from salmon_core.config.run_config import BackendChoice, RunConfig
from salmon_core.config.schema import BonusChoice, Config, DefaultSelection, PrincipleChoice, Selection
from salmon_core.data.files import full_path, nameable
from salmon_core.errors import ConfigError, PluginError, Problem, SalmonError, boundary
from salmon_core.plugins.options import checked_options, require, validate_options
from salmon_core.plugins.registry import Owned, Registry
from salmon_core.records import ShownPrinciple

_FILE_SOURCES = {".jsonl": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
T = TypeVar("T")


def load(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    file_plugins: bool = True,
    announce: Callable[[Path], None] | None = None,
) -> RunConfig:
    """Reads and resolves a configuration file.

    Args:
        file_plugins: whether it may name some.
        announce: called with each of them before any of its code runs.

    Raises:
        ConfigError: everything wrong with it.
    """
    config, base = read_config(path, overrides), nameable(full_path(path)).parent
    return resolve(config, base, str(path), file_plugins=file_plugins, announce=announce)


def from_document(
    document: Any,
    base: Path,
    *,
    source: str = "configuration",
    overrides: Sequence[str] = (),
    file_plugins: bool = True,
    announce: Callable[[Path], None] | None = None,
) -> RunConfig:
    """Resolves a configuration given as plain data; paths are relative to `base`. See `load`."""
    config = parse_config(document, source, overrides)
    return resolve(config, full_path(base), source, file_plugins=file_plugins, announce=announce)


def from_saved(
    saved: Mapping[str, Any], *, file_plugins: bool = True, announce: Callable[[Path], None] | None = None
) -> RunConfig:
    """Resolves what `RunConfig.document` gave. See `load`."""
    document, base, source = saved.get("document"), Path(saved["base"]), saved["source"]
    return from_document(document, base, source=source, file_plugins=file_plugins, announce=announce)


def resolve(
    config: Config,
    base: Path,
    source: str,
    *,
    file_plugins: bool = True,
    announce: Callable[[Path], None] | None = None,
) -> RunConfig:
    """Looks everything up; see the module, and `load`."""
    if config.plugins and not file_plugins:  # nothing else is said: what they offer could not be found either
        says = "is a file plugin, and file plugins are switched off"
        named = enumerate(config.plugins)
        raise ConfigError([Problem(f"plugins[{index}]", f"{name} {says}", file=source) for index, name in named])
    work = _Resolver(config, base, source, announce)
    found = work.run()
    if work.problems or found is None:
        raise ConfigError([replace(problem, file=source) for problem in work.problems])
    return found


class _Resolver:
    """Looks up one configuration and collects all that is wrong with it."""

    def __init__(self, config: Config, base: Path, source: str, announce: Callable[[Path], None] | None):
        self.config, self.base, self.source, self.problems = config, base, source, list[Problem]()
        self.files = self.plugin_files()
        if announce is not None:
            for path in self.files:
                announce(path)
        self.registry = Registry.discover(self.files)
        for broken in self.registry.broken:
            if broken.owner.version == "file":
                self.problem(f"plugins: {broken.owner.plugin}.py", broken.reason)

    def problem(self, where: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(where, message, hint))

    def plugin_files(self) -> tuple[Path, ...]:
        files = []
        for index, name in enumerate(self.config.plugins):
            path = full_path(self.base / name)
            where = f"plugins[{index}]"
            if path.suffix != ".py" or not os.path.isfile(path):
                self.problem(where, f"there is no Python file {name!r} beside the configuration")
            elif not path.is_relative_to(self.base):
                self.problem(where, f"{name!r} lies outside the configuration's folder")
            else:
                files.append(path)
        return tuple(files)

    def run(self) -> RunConfig | None:
        """The whole, or None where something is missing; `problems` says what."""
        config = self.config
        template_spec = self.select("templates", DefaultSelection(name=config.policy.template), "policy.template")
        template = None
        if template_spec is not None:
            owned = self.registry.owned(template_spec)
            template = self.attempt("policy.template", lambda: find_template(owned))
        models = self.models(template)
        prompts = self.prompts()
        engines = {
            role: found
            for role, choice in (
                ("sample", config.sample.engine),
                ("judge", config.judge.engine),
                ("reward", config.reward.engine),
            )
            if (found := self.select("engines", choice, f"{role}.engine")) is not None
        }
        judge = self.select("judges", config.judge.judge, "judge.judge")
        labeller = self.select("labellers", config.label, "label")
        judge_principles = self.principles(config.judge.principles, "judge.principles")
        if config.judge.principles.negate:
            self.problem("judge.principles.negate", "judging always asks for the principle itself")
        files = self.data_files()
        backends = self.backends()
        launch = self.launch()
        reward_principles = self.reward_principles()
        interventions = self.interventions(reward_principles)
        bonuses = self.bonuses()
        evaluators = [
            self.select("evaluators", choice, f"evaluate[{index}]") for index, choice in enumerate(config.evaluate)
        ]
        if (
            self.problems
            or template is None
            or template_spec is None
            or prompts is None
            or judge is None
            or labeller is None
            or judge_principles is None
            or reward_principles is None
        ):
            return None
        return RunConfig(
            config=config,
            base=self.base,
            source=self.source,
            registry=self.registry,
            template=template,
            template_spec=template_spec,
            prompts=prompts,
            judge=judge,
            labeller=labeller,
            engines=MappingProxyType(engines),
            backends=MappingProxyType(backends),
            models=MappingProxyType(models),
            judge_principles=judge_principles,
            reward_principles=reward_principles,
            interventions=tuple(interventions),
            bonuses=tuple(bonuses),
            evaluators=tuple(spec for spec in evaluators if spec is not None),
            files=MappingProxyType(files),
            file_plugins=self.files,
            launch=launch,
            python=self.interpreter(),
        )

    # -- models and files --------------------------------------------------------------------------------------------

    def models(self, template: Template | None) -> dict[str, ModelSpec]:
        config = self.config
        named = {"policy": ("policy.model", config.policy.model)}
        if config.judge.model != "policy":
            named["judge"] = ("judge.model", config.judge.model)
        if config.reward_model.path is not None:
            named["reward"] = ("reward_model.path", config.reward_model.path)
        elif config.reward.rm_weight != 0 and config.reward_model.init != "policy":
            named["reward-init"] = ("reward_model.init", config.reward_model.init)
        found = {}
        policy = config.policy
        adapter = policy.adapter
        if adapter is not None and os.path.isdir(self.base / adapter):
            adapter = str(full_path(self.base / adapter))
        for role, (where, name) in named.items():
            path = self.attempt(where, partial(resolve_model, self.registry, name, self.base))
            if path is not None:
                found[role] = ModelSpec(
                    path,
                    dtype=policy.dtype,
                    device=policy.device,
                    adapter=adapter if role == "policy" else None,
                    trust_remote_code=policy.trust_remote_code,
                    fallback_chat_template=template.chat if template is not None else None,
                )
        return found

    def prompts(self) -> ComponentSpec | None:
        """A component, or a file by its ending."""
        choice = self.config.prompts
        name = choice.name.removeprefix(PLUGIN)
        suffix = Path(name).suffix.lower()
        if choice.name.startswith(PLUGIN) or suffix not in _FILE_SOURCES:
            return self.select("prompts", Selection(name=name, **choice.options), "prompts")
        if "path" in choice.options:
            self.problem("prompts.path", f"{name!r} is the file already; leave one of them out")
            return None
        return self.select("prompts", Selection(name=_FILE_SOURCES[suffix], path=name, **choice.options), "prompts")

    def data_files(self) -> dict[str, Path]:
        config = self.config
        named = {"preferences": ("preferences", config.preferences)}
        if config.sft is not None:
            named["sft"] = ("sft.data", config.sft.data)
        found = {}
        for role, (where, name) in named.items():
            if name is None:
                continue
            path = full_path(self.base / name)
            if os.path.isfile(path):
                found[role] = path
            else:
                self.problem(where, f"there is no file {name!r}")
        return found

    def launch(self) -> Launch:
        section = self.config.train.launch
        accelerate = section.accelerate_config
        if accelerate is None:
            return Launch(section.processes)
        path = full_path(self.base / accelerate)
        if self.config.train.algorithm != "none" and not os.path.isfile(path):
            self.problem("train.launch.accelerate_config", f"there is no file {accelerate!r}")
        return Launch(section.processes, str(path))

    def interpreter(self) -> str | None:
        """A path is relative to the configuration; its links stay, since a virtual environment's python is one."""
        python = self.config.train.python
        if python is None or os.sep not in python:
            return python
        return os.path.abspath(self.base / os.path.expanduser(python))

    # -- training ----------------------------------------------------------------------------------------------------

    def backends(self) -> dict[str, BackendChoice]:
        config = self.config
        wanted: dict[str, tuple[str, str | None, Mapping[str, Any]]] = {}
        if config.sft is not None:
            wanted["sft"] = ("sft", config.sft.backend, config.sft.options)
        if config.reward_model.path is None and config.reward.rm_weight != 0:
            wanted["train-rm"] = ("reward_model", config.reward_model.backend, config.reward_model.options)
        if config.train.algorithm != "none":
            wanted["train-policy"] = ("train", config.train.backend, config.train.options)
        found = {}
        for stage, (where, name, options) in wanted.items():
            if (choice := self.backend(stage, where, name, options)) is not None:
                found[stage] = choice
        return found

    def backend(self, stage: str, where: str, name: str | None, options: Mapping[str, Any]) -> BackendChoice | None:
        spec = self.select("backends", DefaultSelection(name=name), f"{where}.backend")
        if spec is None:
            return None
        owned = self.registry.owned(spec)
        backend: Backend | None = self.attempt(
            f"{where}.backend", lambda: require(owned, self.registry.build(spec), "plan")
        )
        if backend is None:
            return None
        if stage not in backend.stages:
            self.problem(f"{where}.backend", f"{spec.name!r} does not do {stage}")
            return None
        algorithm = self.config.train.algorithm if stage == "train-policy" else None
        if algorithm is not None and algorithm not in backend.algorithms:
            known = ", ".join(sorted(backend.algorithms))
            self.problem("train.algorithm", f"{spec.name} has no {algorithm!r}", f"it has {known}")
            algorithm = None  # the options can still be checked
        checked = self.attempt(
            f"{where}.options", lambda: self.stage_options(owned, backend, stage, algorithm, options, where)
        )
        return BackendChoice(spec, *(checked or ({}, ())))

    def stage_options(
        self, owned: Owned, backend: Backend, stage: str, algorithm: str | None, options: Mapping[str, Any], where: str
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The options of a training stage, checked by the backend's own model for that stage."""
        with boundary(str(owned.owner), f"backend {owned.name!r}, options of {stage}"):
            model = backend.options_for(stage, algorithm)
            return checked_options(model, options, f"{where}.options", self.base)

    # -- principles and bonuses --------------------------------------------------------------------------------------

    def principles(self, choice: PrincipleChoice, where: str) -> PrincipleSet | None:
        found = self.attempt(where, lambda: self.principle_set(choice.name))
        if found is None:
            return None
        names = {p.name for p in found}
        known = ", ".join(sorted(names))
        for key, wanted in (
            ("only", choice.only or []),
            ("without", choice.without),
            ("weights", list(choice.weights)),
        ):
            for name in wanted:
                if name not in names:
                    self.problem(f"{where}.{key}", f"no principle {name!r} in {choice.name!r}", f"it has {known}")
        for name, weight in choice.weights.items():
            if not weight > 0:
                self.problem(f"{where}.weights.{name}", f"a weight is > 0, not {weight}")
        only = None if choice.only is None else [name for name in choice.only if name in names]
        without = [name for name in choice.without if name in names]
        weights = {name: weight for name, weight in choice.weights.items() if name in names and weight > 0}
        changed = found.reweighted(weights).select(only, without)
        if not len(changed):
            self.problem(where, "no principle is left")
        return changed

    def principle_set(self, name: str) -> PrincipleSet:
        return find_principle_set(self.registry, name, self.base)

    def reward_principles(self) -> PrincipleSet | None:
        choice = self.config.reward.principles
        principles = self.principles(choice, "reward.principles")
        if principles is None:
            return None
        negated = choice.negate if isinstance(choice.negate, list) else [p.name for p in principles if choice.negate]
        for name in negated:
            if name not in principles.names:
                self.problem("reward.principles.negate", f"there is no principle {name!r} in the set")
            elif principles[name].negated is None:
                self.problem("reward.principles.negate", f"{name!r} has no negated text")
        return principles

    def interventions(self, own: PrincipleSet | None) -> list[ScheduledPrinciple]:
        found = [
            self.attempt(f"reward.interventions[{index}]", partial(self.intervention, index, own))
            for index in range(len(self.config.reward.interventions))
        ]
        return [item for item in found if item is not None]

    def intervention(self, index: int, own: PrincipleSet | None) -> ScheduledPrinciple:
        item = self.config.reward.interventions[index]
        if item.until_rollout is not None and item.until_rollout <= item.from_rollout:
            raise SalmonError(f"until_rollout {item.until_rollout} is not after from_rollout {item.from_rollout}")
        if item.text is not None:
            shown = ShownPrinciple(item.principle, item.text, negated=item.negate)
            return ScheduledPrinciple(shown, item.from_rollout, item.until_rollout)
        sets = [own, self.principle_set(item.from_set)]
        found = [p for each in sets if each is not None for p in each if p.name == item.principle]
        if not found:
            known = sorted({p.name for each in sets if each is not None for p in each})
            raise SalmonError(
                f"no principle named {item.principle!r} in the reward's set or {item.from_set!r}",
                hint="give its `text`, or one of " + ", ".join(known),
            )
        try:
            return ScheduledPrinciple(found[0].shown(negated=item.negate), item.from_rollout, item.until_rollout)
        except ValueError as error:
            raise SalmonError(str(error)) from None

    def bonuses(self) -> list[BonusSpec]:
        found = []
        labels = {"rm"}
        for index, choice in enumerate(self.config.reward.bonuses):
            where = f"reward.bonuses[{index}]"
            spec = self.select("bonuses", choice, where)
            label = choice.label or choice.name
            if label in labels:
                self.problem(where, f"two components are called {label!r}", "give one a `label`")
            labels.add(label)
            if spec is not None:
                found.append(BonusSpec(label, choice.weight, spec))
        return found

    # -- one component -----------------------------------------------------------------------------------------------

    def select(self, kind: str, choice: Selection | DefaultSelection | BonusChoice, where: str) -> ComponentSpec | None:
        def find() -> ComponentSpec:
            owned = self.registry.default(kind) if choice.name is None else self.registry.find(kind, choice.name)
            return validate_options(owned, choice.options, where, self.base)

        return self.attempt(where, find)

    def attempt(self, where: str, action: Callable[[], T]) -> T | None:
        """The action's result; what it raises becomes a problem at that place."""
        try:
            return action()
        except ConfigError as error:
            for problem in error.problems:
                place = problem.place
                if not place.startswith(where):
                    place = f"{where}: {place}" if place else where
                self.problem(place, problem.message, problem.hint)
        except PluginError as error:
            self.problem(where, str(error))
        except SalmonError as error:
            self.problem(where if error.where is None else f"{where}: {error.where}", error.message, error.hint)
        return None
