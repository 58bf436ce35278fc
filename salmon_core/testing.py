"""A kit for plugin authors, and a pytest plugin: `from salmon_core.testing import registry_of, make_rollout`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salmon_core.plugins import Registry
    from salmon_core.records import Rollout


def registry_of(*modules: ModuleType | Path) -> Registry:
    """A registry of just these plugins, as if they were installed.

    Raises:
        AssertionError: one of them is broken; says why.
    """
    from salmon_core.plugins import Owner, Registry

    registry = Registry()
    for module in modules:
        if isinstance(module, Path):
            registry.add_file(module)
        else:
            registry.add(module, Owner(module.__name__, module.__name__, "test"))
    assert not registry.broken, [f"{broken.owner.plugin}: {broken.reason}" for broken in registry.broken]
    return registry


def build_component(registry: Registry, kind: str, name: str, **options: Any) -> Any:
    """A component as a configuration with these options would construct it.

    Raises:
        ConfigError: the options are wrong.
    """
    from salmon_core.components import build, validate_options

    owned = registry.find(kind, name)
    return build(owned, validate_options(owned, options, name))


def make_rollout(prompt: str = "Hello?", completion: str = "Hello.", **values: Any) -> Rollout:
    """A rollout with sensible defaults; `n_tokens` is the number of words where not given."""
    from salmon_core.records import Prompt, Rollout

    own: Mapping[str, Any] = {"n_tokens": len(completion.split()), **values}
    of = Prompt.from_text(prompt)
    return Rollout(of.id, of.messages, completion, **own)
