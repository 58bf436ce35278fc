"""salmon-core: align a language model to principles you wrote yourself (SALMON, arXiv 2310.05910)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from salmon_core.api.component import Component
    from salmon_core.api.hooks import hookimpl
    from salmon_core.api.principles import Principle, PrincipleSet
    from salmon_core.errors import ConfigError, DataError, PluginError, SalmonError, StageError
    from salmon_core.records import Prompt, Rollout
    from salmon_core.sharing.loaded import load_reward

__all__ = [
    "Component",
    "ConfigError",
    "DataError",
    "PluginError",
    "Principle",
    "PrincipleSet",
    "Prompt",
    "Rollout",
    "SalmonError",
    "StageError",
    "hookimpl",
    "load_reward",
]

_HOMES = {
    "Component": "api",
    "hookimpl": "api.hooks",
    "Principle": "api",
    "PrincipleSet": "api",
    "Prompt": "records",
    "Rollout": "records",
    "load_reward": "sharing.loaded",
} | dict.fromkeys(["ConfigError", "DataError", "PluginError", "SalmonError", "StageError"], "errors")


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that `salmon --help` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
