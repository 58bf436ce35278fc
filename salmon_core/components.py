"""From a component's options in a configuration to the component itself."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from salmon_core.errors import ConfigError, PluginError, Problem, boundary
from salmon_core.plugins import Owned


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


def problems_of(error: ValidationError, where: str) -> list[Problem]:
    """pydantic's errors with the configuration's path before them."""
    problems = []
    for item in error.errors(include_url=False):
        path = where
        for part in item["loc"]:
            path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else str(part))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "there is no such option"
        elif item["type"] == "missing":
            message = "is required"
        elif item["type"] == "model_type":
            message = f"has to be a mapping of keys to values, not {_shown(item['input'])}"
        elif "input" in item and item["type"] != "value_error":
            message += f", not {_shown(item['input'])}"
        problems.append(Problem(path or "configuration", message))
    return problems


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def validate_options(owned: Owned, options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Options checked by the component's own class, defaults filled in, JSON-ready.

    Raises:
        ConfigError: all that is wrong with them.
    """
    target = owned.load()
    with boundary(str(owned.owner), f"options of {owned.kind} {owned.name!r}"):
        model = options_model(target)
        if model is None:
            if options:
                raise ConfigError([Problem(where, f"{owned.name!r} takes no options, not {', '.join(options)}")])
            return {}
        try:
            values = model.model_validate(dict(options))
        except ValidationError as error:
            raise ConfigError(problems_of(error, where)) from None
        return values.model_dump(mode="json")


def build(owned: Owned, options: Mapping[str, Any]) -> Any:
    """The component, constructed from validated options.

    Raises:
        PluginError: its constructor failed.
    """
    target = owned.load()
    model = options_model(target)
    if model is None:
        return target
    with boundary(str(owned.owner), f"{owned.kind} {owned.name!r}"):
        if hasattr(target, "Options"):
            return target(model.model_validate(dict(options)))
        return target(**options)


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
