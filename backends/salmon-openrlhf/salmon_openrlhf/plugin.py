"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_backends() -> Iterable[Component]:
    summary = "SFT, reward model, PPO, REINFORCE++, GRPO, RLOO and DPO on OpenRLHF (Ray, vLLM, DeepSpeed)"
    yield Component("openrlhf", "salmon_openrlhf.backend:OpenRLHFBackend", summary)
