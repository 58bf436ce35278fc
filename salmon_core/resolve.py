"""Phase two of a configuration: names become components, options are checked by their owners, models get paths.

Everything wrong is found in one go. Nothing heavy is imported: a component's module is, its trainer or model is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from salmon_core.components import build, problems_of, validate_options
from salmon_core.config import Choice, Config, PrincipleChoice, Selection, parse_config, read_config
from salmon_core.errors import ConfigError, PluginError, Problem, SalmonError, boundary
from salmon_core.interfaces import Backend, ModelSpec
from salmon_core.lookup import PLUGIN, find_principle_set, find_template, resolve_model
from salmon_core.plugins import Owned, Registry
from salmon_core.principles import Principle, PrincipleSet
from salmon_core.records import ShownPrinciple
from salmon_core.rendering import Limits, Template

_FILE_SOURCES = {".jsonl": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selected:
    """A component with its validated options."""

    owned: Owned
    options: dict[str, Any]

    @property
    def name(self) -> str:
        return self.owned.name

    def build(self) -> Any:
        return build(self.owned, self.options)

    def identity(self) -> dict[str, Any]:
        """What a fingerprint has to know of it."""
        owner = self.owned.owner
        version = owner.version if owner.version != "file" else _digest(Path(owner.distribution))
        plugin = owner.distribution if owner.version != "file" else Path(owner.distribution).name
        return {"name": self.name, "options": self.options, "plugin": plugin, "version": version}


@dataclass(frozen=True, slots=True)
class InForce:
    """An intervention: always shown first from rollout `start` to before `end`."""

    shown: ShownPrinciple
    start: int = 0
    end: int | None = None


@dataclass(frozen=True, slots=True)
class SelectedBonus:
    label: str
    weight: float
    selected: Selected


@dataclass
class Resolved:
    """A configuration with everything looked up."""

    config: Config
    base: Path
    source: str
    registry: Registry
    engines: dict[str, Selected] = field(default_factory=dict)
    backends: dict[str, tuple[Selected, dict[str, Any]]] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    evaluators: list[Selected] = field(default_factory=list)
    bonuses: list[SelectedBonus] = field(default_factory=list)
    interventions: list[InForce] = field(default_factory=list)
    generator: Selected = None  # type: ignore[assignment]
    prompts: Selected = None  # type: ignore[assignment]
    template: Template = None  # type: ignore[assignment]
    judge_principles: PrincipleSet = None  # type: ignore[assignment]
    reward_principles: PrincipleSet = None  # type: ignore[assignment]

    @property
    def limits(self) -> Limits:
        return Limits(**self.config.limits.model_dump())

    def shown(self, principle: Principle) -> ShownPrinciple:
        """A reward principle as the configuration wants it shown: its own text, or the negated one."""
        negate = self.config.reward.principles.negate
        return principle.shown(negated=negate if isinstance(negate, bool) else principle.name in negate)


def load(path: Path, overrides: Sequence[str] = (), *, file_plugins: bool = True) -> Resolved:
    """Reads and resolves a configuration file.

    Raises:
        ConfigError: everything wrong with it.
    """
    return resolve(read_config(path, overrides), path.resolve().parent, str(path), file_plugins=file_plugins)


def from_document(
    document: Any, base: Path, *, source: str = "configuration", overrides: Sequence[str] = ()
) -> Resolved:
    """Resolves a configuration given as plain data; paths are relative to `base`."""
    return resolve(parse_config(document, source, overrides), base.resolve(), source)


def resolve(config: Config, base: Path, source: str, *, file_plugins: bool = True) -> Resolved:
    """Looks everything up; see the module."""
    work = _Work(config, base, source, file_plugins)
    resolved = work.run()
    if work.problems:
        raise ConfigError([replace(problem, file=source) for problem in work.problems])
    return resolved


class _Work:
    def __init__(self, config: Config, base: Path, source: str, file_plugins: bool):
        self.config, self.base, self.problems = config, base, list[Problem]()
        files = []
        for index, name in enumerate(config.plugins):
            path = (base / name).resolve()
            where = f"plugins[{index}]"
            if not file_plugins:
                self.problems.append(Problem(where, f"{name} is a file plugin, and file plugins are switched off"))
            elif path.suffix != ".py" or not path.is_file():
                self.problems.append(Problem(where, f"there is no Python file {name!r} beside the configuration"))
            elif not path.is_relative_to(base):
                self.problems.append(Problem(where, f"{name!r} lies outside the configuration's folder"))
            else:
                files.append(path)
        registry = Registry.discover(files)
        for broken in registry.broken:
            if broken.owner.version == "file":
                self.problems.append(Problem(f"plugins: {broken.owner.plugin}.py", broken.reason))
        self.out = Resolved(config, base, source, registry)

    def run(self) -> Resolved:
        config, out = self.config, self.out
        self.plainly()
        template = self.attempt("policy.template", lambda: find_template(self.out.registry, config.policy.template))
        if template is not None:
            out.template = template
        self.model("policy", "policy.model", config.policy.model)
        for role, choice in (
            ("sample", config.sample.engine),
            ("judge", config.judge.engine),
            ("reward", config.reward.engine),
        ):
            if (engine := self.select("engines", choice, f"{role}.engine")) is not None:
                out.engines[role] = engine
        self.judging()
        self.training()
        self.rewarding()
        for index, choice in enumerate(config.evaluate):
            if (evaluator := self.select("evaluators", choice, f"evaluate[{index}]")) is not None:
                out.evaluators.append(evaluator)
        return out

    def plainly(self) -> None:
        """Prompts: a component, or a file by its ending."""
        choice = self.config.prompts
        name = choice.name.removeprefix(PLUGIN)
        suffix = Path(name).suffix.lower()
        if not choice.name.startswith(PLUGIN) and suffix in _FILE_SOURCES:
            if "path" in choice.options:
                self.problems.append(Problem("prompts.path", f"{name!r} is the file already; leave one of them out"))
                return
            choice = Selection(name=_FILE_SOURCES[suffix], path=name, **choice.options)
        else:
            choice = Selection(name=name, **choice.options)
        selected = self.select("prompts", choice, "prompts")
        if selected is None:
            return
        path = selected.options.get("path")
        if isinstance(path, str):
            full = (self.base / path).resolve()
            if full.exists():
                selected.options["path"] = str(full)
            elif selected.owned.name in _FILE_SOURCES.values():
                self.problems.append(Problem("prompts.path", f"there is no file {path!r}", f"looked for {full}"))
        self.out.prompts = selected

    def judging(self) -> None:
        config, out = self.config, self.out
        if (generator := self.select("generators", config.judge.generator, "judge.generator")) is not None:
            out.generator = generator
        if (principles := self.principles(config.judge.principles, "judge.principles")) is not None:
            out.judge_principles = principles
        if config.judge.principles.negate:
            self.problems.append(Problem("judge.principles.negate", "judging always asks for the principle itself"))
        if config.judge.model != "policy":
            self.model("judge", "judge.model", config.judge.model)
        if config.preferences is not None and not (self.base / config.preferences).is_file():
            self.problems.append(Problem("preferences", f"there is no file {config.preferences!r}"))

    def training(self) -> None:
        config = self.config
        if config.sft is not None:
            self.backend("sft", "sft", config.sft.backend, config.sft.options)
            if not (self.base / config.sft.data).is_file():
                self.problems.append(Problem("sft.data", f"there is no file {config.sft.data!r}"))
        if config.reward_model.path is not None:
            self.model("reward", "reward_model.path", config.reward_model.path)
        elif config.reward.rm_weight != 0:
            if config.reward_model.init != "policy":
                self.model("reward-init", "reward_model.init", config.reward_model.init)
            self.backend("train-rm", "reward_model", config.reward_model.backend, config.reward_model.options)
        if config.train.algorithm == "none":
            return
        backend = self.backend("train-policy", "train", config.train.backend, config.train.options)
        if backend is not None and config.train.algorithm not in backend.algorithms:
            known = ", ".join(sorted(backend.algorithms))
            self.problems.append(
                Problem(
                    "train.algorithm", f"{config.train.backend} has no {config.train.algorithm!r}", f"it has {known}"
                )
            )
        accelerate = config.train.launch.accelerate_config
        if accelerate is not None and not (self.base / accelerate).is_file():
            self.problems.append(Problem("train.launch.accelerate_config", f"there is no file {accelerate!r}"))

    def backend(self, stage: str, where: str, name: str, options: Mapping[str, Any]) -> Backend | None:
        selected = self.select("backends", Selection(name=name), f"{where}.backend")
        if selected is None:
            return None
        backend = self.attempt(f"{where}.backend", selected.build)
        if backend is None:
            return None
        if stage not in backend.stages:
            self.problems.append(Problem(f"{where}.backend", f"{name!r} does not do {stage}"))
            return None
        algorithm = self.config.train.algorithm if stage == "train-policy" else None
        if algorithm is not None and algorithm not in backend.algorithms:
            algorithm = None  # reported as such; the options can still be checked
        values = self.attempt(
            f"{where}.options", lambda: _stage_options(selected, backend, stage, algorithm, options, where)
        )
        self.out.backends[stage] = (selected, values or {})
        return backend  # type: ignore[no-any-return]

    def rewarding(self) -> None:
        config, out = self.config, self.out
        choice = config.reward.principles
        if (principles := self.principles(choice, "reward.principles")) is not None:
            out.reward_principles = principles
            negated = (
                choice.negate if isinstance(choice.negate, list) else [p.name for p in principles if choice.negate]
            )
            for name in negated:
                if name not in {p.name for p in principles}:
                    self.problems.append(
                        Problem("reward.principles.negate", f"there is no principle {name!r} in the set")
                    )
                elif principles[name].negated is None:
                    self.problems.append(Problem("reward.principles.negate", f"{name!r} has no negated text"))
        for index in range(len(config.reward.interventions)):
            self.attempt(f"reward.interventions[{index}]", partial(self.intervention, index))
        labels = {"rm"}
        for index, bonus in enumerate(config.reward.bonuses):
            where = f"reward.bonuses[{index}]"
            selected = self.select("bonuses", bonus, where)
            label = bonus.label or bonus.name
            if label in labels:
                self.problems.append(Problem(where, f"two components are called {label!r}", "give one a `label`"))
            labels.add(label)
            if selected is not None:
                out.bonuses.append(SelectedBonus(label, bonus.weight, selected))

    def intervention(self, index: int) -> None:
        item = self.config.reward.interventions[index]
        if item.until_rollout is not None and item.until_rollout <= item.from_rollout:
            raise SalmonError(f"until_rollout {item.until_rollout} is not after from_rollout {item.from_rollout}")
        if item.text is not None:
            shown = ShownPrinciple(item.principle, item.text, negated=item.negate)
        else:
            sets = [self.out.reward_principles, self.principle_set(item.from_set)]
            found = [p for each in sets if each is not None for p in each if p.name == item.principle]
            if not found:
                known = sorted({p.name for each in sets if each is not None for p in each})
                raise SalmonError(
                    f"no principle named {item.principle!r} in the reward's set or {item.from_set!r}",
                    hint="give its `text`, or one of " + ", ".join(known),
                )
            try:
                shown = found[0].shown(negated=item.negate)
            except ValueError as error:
                raise SalmonError(str(error)) from None
        self.out.interventions.append(InForce(shown, item.from_rollout, item.until_rollout))

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
                    self.problems.append(
                        Problem(f"{where}.{key}", f"no principle {name!r} in {choice.name!r}", f"it has {known}")
                    )
        for name, weight in choice.weights.items():
            if not weight > 0:
                self.problems.append(Problem(f"{where}.weights.{name}", f"a weight is > 0, not {weight}"))
        only = None if choice.only is None else [name for name in choice.only if name in names]
        without = [name for name in choice.without if name in names]
        weights = {name: weight for name, weight in choice.weights.items() if name in names and weight > 0}
        changed = found.reweighted(weights).select(only, without)
        if not len(changed):
            self.problems.append(Problem(where, "no principle is left"))
        return changed

    def principle_set(self, name: str) -> PrincipleSet:
        return find_principle_set(self.out.registry, name, self.base)

    def model(self, role: str, where: str, name: str) -> None:
        policy = self.config.policy
        spec = self.attempt(where, lambda: resolve_model(self.out.registry, name, self.base))
        if spec is None:
            return
        adapter = policy.adapter
        if adapter is not None and (self.base / adapter).is_dir():
            adapter = str((self.base / adapter).resolve())
        self.out.models[role] = ModelSpec(
            spec,
            dtype=policy.dtype,
            device=policy.device,
            adapter=adapter if role == "policy" else None,
            trust_remote_code=policy.trust_remote_code,
            fallback_chat_template=self.out.template.chat if self.out.template is not None else None,
        )

    def select(self, kind: str, choice: Choice, where: str) -> Selected | None:
        def find() -> Selected:
            owned = self.out.registry.find(kind, choice.name)
            return Selected(owned, validate_options(owned, choice.options, where))

        return self.attempt(where, find)

    def attempt(self, where: str, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except ConfigError as error:
            for problem in error.problems:
                place = problem.place
                if not place.startswith(where):
                    place = f"{where}: {place}" if place else where
                self.problems.append(Problem(place, problem.message, problem.hint))
        except PluginError as error:
            self.problems.append(Problem(where, str(error)))
        except SalmonError as error:
            self.problems.append(
                Problem(where if error.where is None else f"{where}: {error.where}", error.message, error.hint)
            )
        return None


def _stage_options(
    selected: Selected, backend: Backend, stage: str, algorithm: str | None, options: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The options of a training stage, checked by the backend's own model for that stage."""
    with boundary(str(selected.owned.owner), f"backend {selected.name!r}, options of {stage}"):
        model: type[BaseModel] = backend.options_for(stage, algorithm)
        try:
            return model.model_validate(dict(options)).model_dump(mode="json")
        except ValidationError as error:
            raise ConfigError(problems_of(error, f"{where}.options")) from None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
