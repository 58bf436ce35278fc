"""Names become components, options are checked by their owners, models and files get paths.

Everything wrong is found in one go. Nothing heavy is imported: a component's module is, its trainer or model is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.templates import Template
from salmon_core.config import aligning, rewarding, training, watched
from salmon_core.config.choices import DefaultSelection
from salmon_core.config.evaluating import evaluation_judges
from salmon_core.config.load import parse_config, read_config
from salmon_core.config.lookup import Lookup
from salmon_core.config.names import find_template
from salmon_core.config.run_config import RunConfig
from salmon_core.config.schema import Config
from salmon_core.data.files import full_path, nameable
from salmon_core.errors import ConfigError, Problem


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
    look = Lookup(config, base, source, announce)
    found = _resolved(look)
    if look.problems or found is None:
        raise ConfigError([replace(problem, file=source) for problem in look.problems])
    return found


def _template(look: Lookup, name: str | None, where: str) -> tuple[ComponentSpec | None, Template | None]:
    spec = look.select("templates", DefaultSelection(name=name), where)
    if spec is None:
        return None, None
    owned = look.registry.owned(spec)
    return spec, look.attempt(where, lambda: find_template(owned))


def _resolved(look: Lookup) -> RunConfig | None:
    """The whole, or None where something is missing; `problems` says what."""
    config = look.config
    _, template = _template(look, config.policy.template, "policy.template")
    named = config.reward.template or config.policy.template
    reward_template_spec, reward_template = _template(look, named, "reward.template")
    models = training.models(look, template, reward_template)
    prompts = training.prompts(look)
    engines = {
        role: found
        for role, choice in (
            ("sample", config.sample.engine),
            ("judge", config.judge.engine),
            ("reward", config.reward.engine),
            *([("self_align", config.self_align.engine)] if config.self_align is not None else []),
        )
        if (found := look.select("engines", choice, f"{role}.engine")) is not None
    }
    judge = look.select("judges", config.judge.judge, "judge.judge")
    labeller = look.select("labellers", config.label, "label")
    judge_principles = rewarding.chosen_principles(look, config.judge.principles, "judge.principles")
    if config.judge.principles.negate:
        look.problem("judge.principles.negate", "judging always asks for the principle itself")
    files = training.data_files(look)
    self_align = aligning.self_align(look)
    backends = training.backends(look)
    launch = training.launch(look)
    reward_principles = rewarding.reward_principles(look)
    known = (*(judge_principles or ()), *(reward_principles or ()))
    preferences = training.preferences(look, known)
    pretraining = training.pretraining(look, known)
    interventions = rewarding.interventions(look, reward_principles)
    bonuses = rewarding.bonuses(look)
    evaluators = [
        look.select("evaluators", choice, f"evaluate[{index}]") for index, choice in enumerate(config.evaluate)
    ]
    monitors = watched.monitors(look)
    own_judges = evaluation_judges(look, template)
    rl = backends.get("train-policy")
    on_preferences = rl is not None and rl.on_preferences
    if rl is not None and judge_principles is not None:
        training.rows(look, judge_principles.names, on_preferences=on_preferences)
    asked = not on_preferences or training.reward_asked(look, evaluators)
    if (
        look.problems
        or template is None
        or reward_template is None
        or reward_template_spec is None
        or prompts is None
        or judge is None
        or labeller is None
        or judge_principles is None
        or reward_principles is None
    ):
        return None
    return RunConfig(
        config=config,
        base=look.base,
        source=look.source,
        registry=look.registry,
        template=template,
        reward_template=reward_template,
        reward_template_spec=reward_template_spec,
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
        preferences=preferences,
        pretraining=pretraining,
        file_plugins=look.files,
        launch=launch,
        python=training.interpreter(look),
        evaluation_judges=MappingProxyType(dict(own_judges)),
        reward_asked=asked,
        self_align=self_align,
        monitors=monitors,
    )
