"""What a configuration says of models, data files and trainers, looked up."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import ModelSpec
from salmon_core.api.principles import Principle
from salmon_core.api.templates import Template
from salmon_core.api.training import Backend, Launch
from salmon_core.config.choices import DefaultSelection, Selection
from salmon_core.config.lookup import Lookup
from salmon_core.config.names import FILE_SOURCES, PLUGIN, resolve_model
from salmon_core.config.preferring import PreferencesSection
from salmon_core.config.reinforcing import RowsSection
from salmon_core.config.run_config import BackendChoice
from salmon_core.data.files import full_path
from salmon_core.data.preferences import Keep, PreferenceSource, Pretraining
from salmon_core.data.readers import READERS
from salmon_core.data.shown import shown_principles
from salmon_core.data.validation import did_you_mean
from salmon_core.errors import SalmonError, boundary
from salmon_core.plugins.options import checked_options, require
from salmon_core.plugins.registry import Owned

#: option of trainers: how often the rollouts of a generated batch are written
LOGGED = "log_rollouts_every"


def models(look: Lookup, template: Template | None, reward_template: Template | None) -> dict[str, ModelSpec]:
    """Models by role, with their paths.

    Args:
        template: by which the judge is asked.
        reward_template: by which the reward model is asked.
    """
    config = look.config
    named = {"policy": ("policy.model", config.policy.model)}
    if config.judge.model != "policy":
        named["judge"] = ("judge.model", config.judge.model)
    if config.reward_model.path is not None:
        named["reward"] = ("reward_model.path", config.reward_model.path)
    elif config.reward.rm_weight != 0 and config.reward_model.init != "policy":
        named["reward-init"] = ("reward_model.init", config.reward_model.init)
    if config.self_align is not None and config.self_align.model != "policy":
        named["self-align"] = ("self_align.model", config.self_align.model)
    found = {}
    policy = config.policy
    adapter = policy.adapter
    if adapter is not None and os.path.isdir(look.base / adapter):
        adapter = str(full_path(look.base / adapter))
    for role, (where, name) in named.items():
        path = look.attempt(where, partial(resolve_model, look.registry, name, look.base))
        if path is not None:
            found[role] = ModelSpec(
                path,
                dtype=policy.dtype,
                device=policy.device,
                adapter=adapter if role == "policy" else None,
                trust_remote_code=policy.trust_remote_code,
                fallback_chat_template=template.chat if template is not None and role != "reward" else None,
                conversational=role == "reward" and reward_template is not None and bool(reward_template.conversation),
            )
    if (
        config.reward_model.path is None
        and config.reward.rm_weight != 0
        and reward_template is not None
        and reward_template.answers is not None
    ):
        look.problem(
            "reward.template",
            "asks a language model to choose an answer, and none is trained",
            "name one as reward_model.path, such as the policy's own",
        )
    return found


def prompts(look: Lookup) -> ComponentSpec | None:
    """A component, or a file by its ending."""
    choice = look.config.prompts
    name = choice.name.removeprefix(PLUGIN)
    suffix = Path(name).suffix.lower()
    if choice.name.startswith(PLUGIN) or suffix not in FILE_SOURCES:
        return look.select("prompts", Selection(name=name, **choice.options), "prompts")
    if "path" in choice.options:
        look.problem("prompts.path", f"{name!r} is the file already; leave one of them out")
        return None
    return look.select("prompts", Selection(name=FILE_SOURCES[suffix], path=name, **choice.options), "prompts")


def data_files(look: Lookup) -> dict[str, Path]:
    """Files of rows that training reads, by role."""
    config = look.config
    named: dict[str, tuple[str, str]] = {}
    if config.prompts.rubrics is not None:
        named["rubrics"] = ("prompts.rubrics", config.prompts.rubrics)
    if config.judge.gold is not None:
        named["gold"] = ("judge.gold", config.judge.gold)
    if config.sft is not None and config.sft.data is not None:
        named["sft"] = ("sft.data", config.sft.data)
    elif config.sft is not None and config.self_align is None:
        look.problem(
            "sft.data",
            "is needed: there are no demonstrations",
            "name a file, or let the model make its own: `self_align: {}`",
        )
    found = {}
    for role, (where, name) in named.items():
        path = full_path(look.base / name)
        if os.path.isfile(path):
            found[role] = path
        else:
            look.problem(where, f"there is no file {name!r}")
    return found


def preferences(look: Lookup, known: Iterable[Principle]) -> PreferenceSource | None:
    """Where the user's own preference rows are.

    Args:
        known: principles that they may name; of two with one name the first counts.
    """
    section = look.config.preferences
    return None if section is None else _preferences(look, section, "preferences", known)


def pretraining(look: Lookup, known: Iterable[Principle]) -> Pretraining | None:
    """What the reward model is trained on first; `known` as for `preferences`."""
    section, where = look.config.reward_model.pretrain, "reward_model.pretrain"
    if section is None:
        return None
    if look.config.reward.rm_weight == 0:
        look.problem(
            where, "would have no effect: reward.rm_weight is 0, so no reward model is trained", "leave it out"
        )
    source = _preferences(look, section.preferences, f"{where}.preferences", known)
    if section.keep is not None:
        source = replace(source, keep=Keep(section.keep.column, section.keep.above))
    return Pretraining(source, section.principles, section.min_margin, section.limit)


def _preferences(look: Lookup, section: PreferencesSection, where: str, known: Iterable[Principle]) -> PreferenceSource:
    name = section.path
    place = full_path(look.base / name)
    is_file = place.suffix.lower() in READERS
    path: Path | str = name
    if os.path.isfile(place) and not is_file:
        look.problem(where, f"{name!r} is no file of rows", f"its name ends in one of {', '.join(READERS)}")
    elif os.path.isfile(place) or (os.path.isdir(place) and not is_file):
        path = place
    elif is_file or name.startswith((".", "/", "~")) or name.count("/") > 1:
        look.problem(where, f"there is no file {name!r}")
    if isinstance(path, Path) and is_file:
        for key in ("subset", "revision"):
            if getattr(section, key) is not None:
                look.problem(f"{where}.{key}", "is of a data set, not of a file", "leave it out")
    if section.ratings and section.default_principle is not None:
        look.problem(
            f"{where}.default_principle", "would have no effect: `ratings` names the principles", "leave it out"
        )
    by_name: dict[str, Principle] = {}
    for principle in known:
        by_name.setdefault(principle.name, principle)
    principles = tuple(by_name.values())
    named = {f"ratings.{column}": text for column, text in section.ratings.items()}
    if section.default_principle is not None:
        named["default_principle"] = section.default_principle
    for key, text in named.items():
        look.attempt(f"{where}.{key}", partial(shown_principles, [text], principles, f"{where}.{key}"))
    return PreferenceSource(
        path,
        section.subset,
        section.split,
        section.revision,
        section.limit,
        section.ratings,
        section.default_principle,
        section.on_bad_row,
        principles,
    )


def rows(look: Lookup, judged: Iterable[str], *, on_preferences: bool) -> None:
    """Whether `train.rows` can mean something.

    Args:
        judged: names of the principles that judge, by which rows are decided.
        on_preferences: whether the algorithm trains on preference rows.
    """
    section, names = look.config.train.rows, list(judged)
    if on_preferences and look.config.train.epochs != 1:
        look.problem("train.epochs", "means nothing to an algorithm on preference rows", "set options.num_train_epochs")
    if not on_preferences:
        if section != RowsSection():
            message = f"means nothing to {look.config.train.algorithm}, which trains on rollouts"
            look.problem("train.rows", message, "leave it out")
    elif look.config.preferences is None:
        for name in section.only or ():
            if name not in names:
                message = f"no principle {name!r} is judged by{did_you_mean(name, names)}"
                look.problem("train.rows.only", message, f"there are {', '.join(names)}")


def reward_asked(look: Lookup, evaluators: Iterable[ComponentSpec | None]) -> bool:
    """Whether an evaluator says that it needs the reward model."""
    for index, spec in enumerate(evaluators):
        if spec is None:
            continue
        build = partial(look.registry.build, spec)
        if "reward" in getattr(look.attempt(f"evaluate[{index}]", build), "needs", ()):
            return True
    return False


def launch(look: Lookup) -> Launch:
    """How trainers are started."""
    section = look.config.train.launch
    accelerate = section.accelerate_config
    if accelerate is None:
        return Launch(section.processes)
    path = full_path(look.base / accelerate)
    if look.config.train.algorithm != "none" and not os.path.isfile(path):
        look.problem("train.launch.accelerate_config", f"there is no file {accelerate!r}")
    return Launch(section.processes, str(path))


def interpreter(look: Lookup) -> str | None:
    """A path is relative to the configuration; its links stay, since a virtual environment's python is one."""
    python = look.config.train.python
    if python is None or os.sep not in python:
        return python
    return os.path.abspath(look.base / os.path.expanduser(python))


def backends(look: Lookup) -> dict[str, BackendChoice]:
    """Trainers by stage, with checked options."""
    config = look.config
    wanted: dict[str, tuple[str, str | None, Mapping[str, Any]]] = {}
    if config.sft is not None:
        wanted["sft"] = ("sft", config.sft.backend, config.sft.options)
    if config.reward_model.path is None and config.reward.rm_weight != 0:
        first = config.reward_model.pretrain
        if first is not None:
            name = first.backend or config.reward_model.backend
            wanted["pretrain-rm"] = ("reward_model.pretrain", name, first.options)
        wanted["train-rm"] = ("reward_model", config.reward_model.backend, config.reward_model.options)
    if config.train.algorithm != "none":
        wanted["train-policy"] = ("train", config.train.backend, config.train.options)
    found = {}
    for stage, (where, name, options) in wanted.items():
        if (choice := _backend(look, stage, where, name, options)) is not None:
            found[stage] = choice
    return found


def _backend(
    look: Lookup, stage: str, where: str, name: str | None, options: Mapping[str, Any]
) -> BackendChoice | None:
    spec = look.select("backends", DefaultSelection(name=name), f"{where}.backend")
    if spec is None:
        return None
    owned = look.registry.owned(spec)
    backend: Backend | None = look.attempt(
        f"{where}.backend", lambda: require(owned, look.registry.build(spec), "plan")
    )
    if backend is None:
        return None
    if stage not in backend.stages:
        look.problem(f"{where}.backend", f"{spec.name!r} does not do {stage}")
        return None
    algorithm = look.config.train.algorithm if stage == "train-policy" else None
    if algorithm is not None and algorithm not in backend.algorithms:
        known = ", ".join(sorted(backend.algorithms))
        others = ", ".join(_backends_with(look, algorithm))
        hint = f"it has {known}" + (f"; {algorithm} is there with backend: {others}" if others else "")
        look.problem("train.algorithm", f"{spec.name} has no {algorithm!r}", hint)
        algorithm = None  # the options can still be checked
    checked = look.attempt(
        f"{where}.options", lambda: _stage_options(look, owned, backend, stage, algorithm, options, where)
    )
    options_of, paths = checked or ({}, ())
    on_preferences = algorithm is not None and algorithm in getattr(backend, "on_preferences", ())
    return BackendChoice(spec, options_of, paths, on_preferences)


def _backends_with(look: Lookup, algorithm: str) -> Iterator[str]:
    """Names of the installed backends that have an algorithm; one that cannot be imported has none."""
    for owned in look.registry.components("backends"):
        with suppress(SalmonError):
            if algorithm in getattr(owned.load(), "algorithms", ()):
                yield owned.name


def _stage_options(
    look: Lookup,
    owned: Owned,
    backend: Backend,
    stage: str,
    algorithm: str | None,
    options: Mapping[str, Any],
    where: str,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The options of a training stage, checked by the backend's own model for that stage."""
    with boundary(str(owned.owner), f"backend {owned.name!r}, options of {stage}"):
        model = backend.options_for(stage, algorithm)
        if stage == "train-policy" and look.config.monitors is not None and LOGGED in model.model_fields:
            options = {LOGGED: 1, **options}  # monitors see what is written
        return checked_options(model, options, f"{where}.options", look.base)
