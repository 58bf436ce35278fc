"""Oracles by name."""

from __future__ import annotations

from salmon_core.api.evaluation import Oracle
from salmon_core.errors import boundary
from salmon_core.plugins.options import require
from salmon_core.plugins.registry import Registry


def find_oracle(registry: Registry, name: str) -> Oracle:
    """An oracle by name.

    Raises:
        SalmonError: there is none of that name.
        PluginError: it cannot be constructed, or is none.
    """
    owned = registry.find("oracles", name)
    target = owned.load()
    with boundary(str(owned.owner), f"oracle {name!r}"):
        oracle: Oracle = target() if isinstance(target, type) else target
    return require(owned, oracle, "prefer")  # type: ignore[no-any-return]
