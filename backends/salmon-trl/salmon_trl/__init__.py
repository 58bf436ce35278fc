"""SALMON's training stages on Hugging Face TRL.

`PPOTrainer` and `PPOConfig` also stand on their own: PPO for TRL, with any reward function. They are imported when
first asked for, so that planning needs no trainer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salmon_trl.adapters import SharedCritic
    from salmon_trl.ppo import PPOTrainer
    from salmon_trl.ppo_config import PPOConfig

__version__ = "0.1.0"
__all__ = ["PPOConfig", "PPOTrainer", "SharedCritic"]

_HOMES = {"PPOConfig": "ppo_config", "PPOTrainer": "ppo", "SharedCritic": "adapters"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
