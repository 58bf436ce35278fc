"""From a component's options in a configuration to the component itself."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import to_jsonable_python

from salmon_core.api.component import ComponentSpec, HubPath
from salmon_core.data.files import full_path
from salmon_core.data.validation import problems_of
from salmon_core.errors import ConfigError, PluginError, Problem, boundary
from salmon_core.plugins.registry import Owned

#: keys that a configuration writes beside a component's options, by kind
BESIDE: Mapping[str, tuple[str, ...]] = {
    "bonuses": ("name", "weight", "label"),
    "evaluators": ("name", "judge"),
    "prompts": ("name", "limit", "on_bad_row", "answers", "too_long", "system", "rubrics"),
}


def options_model(target: Any) -> type[BaseModel] | None:
    """The model that validates a component's options: its nested `Options`, or one made from its constructor.

    None for targets that are objects and not classes, which take no options.
    """
    if not inspect.isclass(target):
        return None
    options = getattr(target, "Options", None)
    if inspect.isclass(options) and issubclass(options, BaseModel):
        return options
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        if isinstance(annotation, str):  # `from __future__ import annotations` in the plugin
            annotation = _resolve(target, name)
        fields[name] = (annotation, ... if parameter.default is parameter.empty else parameter.default)
    return create_model(f"{target.__name__}Options", __config__=ConfigDict(extra="forbid"), **fields)


def _resolve(target: Any, name: str) -> Any:
    try:
        return inspect.get_annotations(target.__init__, eval_str=True).get(name, Any)
    except Exception:
        return Any


def validate_options(owned: Owned, options: Mapping[str, Any], where: str, base: Path) -> ComponentSpec:
    """A component with its options checked by its own class, defaults filled in.

    Args:
        where: key of the configuration, for messages.
        base: the configuration's folder, which paths are relative to.

    Raises:
        ConfigError: all that is wrong with them.
    """
    target = owned.load()
    values: Any = {}
    with boundary(str(owned.owner), f"options of {owned.kind} {owned.name!r}"):
        model = options_model(target)
        if model is not None:
            beside = BESIDE.get(owned.kind, ("name",))
            values, paths = checked_options(model, options, where, base, beside)
        elif options:
            raise ConfigError([Problem(where, f"{owned.name!r} takes no options, not {', '.join(options)}")])
        else:
            paths = ()
    return ComponentSpec(owned.kind, owned.name, owned.owner.distribution, values, paths)


def checked_options(
    model: type[BaseModel], options: Mapping[str, Any], where: str, base: Path, beside: Collection[str] = ()
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Options checked by a model -> JSON-ready, with absolute paths; and those paths.

    Args:
        beside: keys that may be written beside the options, for hints.

    Raises:
        ConfigError: all that is wrong with them.
    """
    try:
        values = model.model_validate(dict(options))
    except ValidationError as error:
        raise ConfigError(problems_of(error, where, model, beside=beside)) from None
    paths: list[str] = []
    problems: list[Problem] = []
    dumped = values.model_dump()
    for name in uncounted_options(model):
        if isinstance(dumped[name], Path):
            dumped[name] = str(full_path(base / os.path.expanduser(dumped[name])))
    resolved = _resolved(dumped, where, base, paths, problems)
    if problems:
        raise ConfigError(problems)
    return to_jsonable_python(resolved), tuple(sorted(set(paths)))


def _resolved(value: Any, where: str, base: Path, paths: list[str], problems: list[Problem]) -> Any:
    """The value with its paths made absolute; notes them, and those that lead nowhere."""
    if isinstance(value, Path | HubPath):
        full = full_path(base / os.path.expanduser(value))
        if os.path.exists(full):
            paths.append(str(full))
            return str(full)
        if isinstance(value, Path):
            problems.append(Problem(where, f"there is no file {str(value)!r}", f"looked for {full}"))
        return str(value)
    if isinstance(value, dict):
        return {key: _resolved(item, f"{where}.{key}", base, paths, problems) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(item, f"{where}[{i}]", base, paths, problems) for i, item in enumerate(value)]
    return value


def uncounted_options(model: type[BaseModel]) -> frozenset[str]:
    """The options that change no result: those declared with `salmon_core.api.uncounted()`."""
    extras = {name: field.json_schema_extra for name, field in model.model_fields.items()}
    return frozenset(name for name, extra in extras.items() if isinstance(extra, Mapping) and extra.get("uncounted"))


def construct(owned: Owned, options: Mapping[str, Any]) -> Any:
    """The component, constructed from validated options.

    Raises:
        PluginError: its constructor failed.
    """
    target = owned.load()
    model = options_model(target)
    if model is None:
        return target
    with boundary(str(owned.owner), f"{owned.kind} {owned.name!r}"):
        values = model.model_validate(dict(options))
        if hasattr(target, "Options"):
            return target(values)
        return target(**{name: getattr(values, name) for name in model.model_fields})


def require(owned: Owned, component: Any, *methods: str) -> Any:
    """The component, if it has at least one of the methods.

    Raises:
        PluginError: it has none.
    """
    if not any(callable(getattr(component, method, None)) for method in methods):
        raise PluginError(
            str(owned.owner),
            f"{type(component).__name__} has no method {' or '.join(methods)}",
            what=f"{owned.kind} {owned.name!r}",
        )
    return component
