"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core.api import Component
from salmon_core.api.hooks import hookimpl


@hookimpl
def salmon_engines() -> Iterable[Component]:
    """The engine `vllm`."""
    yield Component(
        "vllm",
        "salmon_vllm.engine:VLLMEngine",
        "vLLM, in an interpreter of its own: sampling, judging, reward scores",
    )
