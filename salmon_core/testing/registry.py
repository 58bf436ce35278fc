"""A registry of one's own plugin, without installing it, and its components as a configuration would make them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

    from salmon_core.plugins.registry import Registry


def registry_of(*modules: ModuleType | Path) -> Registry:
    """A registry of just these plugins, as if they were installed.

    Raises:
        AssertionError: one of them is broken; says why.
    """
    from salmon_core.plugins.registry import Owner, Registry

    registry = Registry()
    for module in modules:
        if isinstance(module, Path):
            registry.add_file(module)
        else:
            registry.add(module, Owner(module.__name__, module.__name__, "test"))
    assert not registry.broken, [f"{broken.owner.plugin}: {broken.reason}" for broken in registry.broken]
    return registry


def build_component(registry: Registry, kind: str, name: str, *, base: Path | None = None, **options: Any) -> Any:
    """A component as a configuration with these options would construct it.

    Args:
        base: folder that paths among the options are relative to; the working directory by default.

    Raises:
        ConfigError: the options are wrong.
    """
    from salmon_core.plugins.options import validate_options

    return registry.build(validate_options(registry.find(kind, name), options, name, base or Path()))


def option_model(kind: str, name: str) -> type[BaseModel]:
    """The pydantic model of an installed component's options.

    Raises:
        SalmonError: there is no such component, or it takes no options.
    """
    from salmon_core.errors import SalmonError
    from salmon_core.plugins.options import options_model
    from salmon_core.plugins.registry import Registry

    model = options_model(Registry.discover().find(kind, name).load())
    if model is None:
        raise SalmonError(f"{name!r} takes no options")
    return model
