"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_backends() -> Iterable[Component]:
    summary = "SFT, reward model, PPO, GRPO, RLOO and DPO on Hugging Face TRL"
    yield Component("trl", "salmon_trl.backend:TRLBackend", summary, default=True)
