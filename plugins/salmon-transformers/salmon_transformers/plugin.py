"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core.api import Component
from salmon_core.api.hooks import hookimpl


@hookimpl
def salmon_engines() -> Iterable[Component]:
    """The engine `transformers`."""
    yield Component(
        "transformers",
        "salmon_transformers.engine:TransformersEngine",
        "Hugging Face transformers, on a CPU or one GPU: sampling, judging, reward scores",
        default=True,
    )
