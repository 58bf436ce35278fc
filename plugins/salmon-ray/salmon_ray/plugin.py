"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core.api import Component
from salmon_core.api.hooks import hookimpl


@hookimpl
def salmon_engines() -> Iterable[Component]:
    """The engine `ray`."""
    yield Component(
        "ray",
        "salmon_ray.engine:RayEngine",
        "any other engine, in a pool of Ray actors: sampling, judging, reward scores",
    )
