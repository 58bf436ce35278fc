"""TRL's RL trainers over rows that are already drawn and rendered. PPO belongs here too: see docs/backends/trl.md."""

from __future__ import annotations

from typing import Any

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from salmon_trl.checkpoints import Resumable
from salmon_trl.common import Run
from salmon_trl.data import encode
from salmon_trl.options import PolicyOptions


class RolloutTrainer(Resumable):
    """What GRPO and RLOO share. Put before a TRL trainer.

    Attributes:
        config: its TRL configuration class.
    """

    config: type

    @classmethod
    def settings(cls, options: PolicyOptions) -> dict[str, Any]:
        """Arguments of `config` that follow from the options."""
        return {}

    @classmethod
    def components(cls, run: Run, options: PolicyOptions) -> dict[str, Any]:
        """Further arguments of the trainer, such as a critic."""
        return {}

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # TRL would put a second BOS before a prompt that the chat template has already begun with one.
        tokenizer: Any = self.processing_class
        return encode(tokenizer, prompts), None, {}


class GRPO(RolloutTrainer, GRPOTrainer):
    """Group relative policy optimisation."""

    config = GRPOConfig

    @classmethod
    def settings(cls, options: PolicyOptions) -> dict[str, Any]:
        chosen = {"loss_type": options.loss_type, "scale_rewards": options.scale_rewards}
        return {"mask_truncated_completions": False, **{k: v for k, v in chosen.items() if v is not None}}


class RLOO(RolloutTrainer, RLOOTrainer):
    """REINFORCE with a leave-one-out baseline."""

    config = RLOOConfig

    @classmethod
    def settings(cls, options: PolicyOptions) -> dict[str, Any]:
        return {"mask_truncated_completions": False}
