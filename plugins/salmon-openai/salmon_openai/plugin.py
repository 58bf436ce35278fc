"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core.api import Component
from salmon_core.api.hooks import hookimpl


@hookimpl
def salmon_engines() -> Iterable[Component]:
    """The engine `openai`."""
    yield Component(
        "openai",
        "salmon_openai.engine:OpenAIEngine",
        "any OpenAI-compatible endpoint, such as vLLM or llama.cpp: sampling, judging",
    )
