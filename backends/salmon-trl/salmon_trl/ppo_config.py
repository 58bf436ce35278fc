"""The settings of PPO, on top of TRL's for GRPO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trl.trainer.grpo_config import GRPOConfig

#: arguments of GRPOConfig that would quietly do something else than PPO: name -> (the only value allowed, why)
_FIXED: dict[str, tuple[Any, str]] = {
    "beta": (0.0, "the KL penalty is part of PPO's reward: set kl_coef"),
    "mask_truncated_completions": (False, "it would remove the reward of truncated completions"),
    "load_best_model_at_end": (False, "it would leave the critic behind"),
    "importance_sampling_level": ("token", "PPO's ratio is per token"),
    "multi_objective_aggregation": ("sum_then_normalize", "PPO adds weighted rewards up"),
    "sync_ref_model": (False, "the reference of PPO's KL penalty stays the start model"),
    "off_policy_mask_threshold": (None, "it drops whole sequences by one advantage, and PPO has one per token"),
}


@dataclass
class PPOConfig(GRPOConfig):
    """Arguments of `PPOTrainer`: those of `trl.GRPOConfig`, and PPO's own.

    Defaults are those of arXiv 2310.05910 where it gives one. One completion per prompt; each generated batch is gone
    through `num_iterations` times. `generation_batch_size`, `per_device_train_batch_size` and
    `gradient_accumulation_steps` say how large batches are, `epsilon` how far the ratio may go.

    Raises:
        ValueError: settings that cannot work together, all at once.
    """

    num_generations: int | None = field(default=1, metadata={"help": "Completions per prompt."})
    num_iterations: int = field(default=2, metadata={"help": "PPO epochs over each generated batch."})
    loss_type: str = field(
        default="dapo",
        metadata={"help": "`dapo`: token mean over the optimizer step; `bnpo`: over each device batch."},
    )
    scale_rewards: str = field(default="none", metadata={"help": "Unused: PPO whitens advantages."})
    kl_coef: float = field(default=0.01, metadata={"help": "KL penalty in the reward; 0: no reference model."})
    kl_estimator: str = field(default="k1", metadata={"help": "`k1` (unbiased, as in the paper) or `k3`."})
    gamma: float = field(default=1.0, metadata={"help": "Discount factor."})
    lam: float = field(default=0.95, metadata={"help": "Lambda of generalised advantage estimation."})
    whiten_advantages: bool = field(
        default=True, metadata={"help": "Mean 0, variance 1 over the generated batch of all processes."}
    )
    vf_coef: float = field(default=0.1, metadata={"help": "Weight of the value loss."})
    cliprange_value: float = field(
        default=0.2, metadata={"help": "How far a value may move from its old one before the loss is clipped; 0: off."}
    )
    critic_learning_rate: float | None = field(
        default=None, metadata={"help": "Learning rate of the critic; None: the policy's."}
    )
    missing_eos_penalty: float | None = field(
        default=None, metadata={"help": "Subtracted from the reward of a completion that does not end with EOS."}
    )

    def __post_init__(self) -> None:
        generations = self.num_generations
        if generations == 1:
            # GRPOConfig wants groups; PPO does not, and GRPOTrainer itself copes with one completion per prompt.
            passes = self.steps_per_generation or self.gradient_accumulation_steps
            self.num_generations = max(2, self.generation_batch_size or self.per_device_train_batch_size * passes)
            self.num_generations_eval = self.num_generations_eval or 1
        super().__post_init__()
        self.num_generations = generations
        if problems := self._problems():
            raise ValueError("; ".join(problems))

    @property
    def window(self) -> int:
        """Optimizer steps for one generated batch: a checkpoint has to fall between windows."""
        return int(self.steps_per_generation * self.num_iterations // self.gradient_accumulation_steps)

    def _problems(self) -> list[str]:
        problems = [
            f"{name} must be {value}: {why}" for name, (value, why) in _FIXED.items() if getattr(self, name) != value
        ]
        if self.loss_type not in ("dapo", "bnpo"):
            problems.append(f"loss_type must be dapo or bnpo, not {self.loss_type}")
        if self.kl_estimator not in ("k1", "k3"):
            problems.append(f"kl_estimator must be k1 or k3, not {self.kl_estimator}")
        for name, low, high in (("gamma", 0.0, 1.0), ("lam", 0.0, 1.0)):
            if not low <= getattr(self, name) <= high:
                problems.append(f"{name} must be between {low} and {high}, not {getattr(self, name)}")
        for name in ("kl_coef", "vf_coef", "cliprange_value"):
            if getattr(self, name) < 0:
                problems.append(f"{name} must not be negative")
        passes = self.steps_per_generation * self.num_iterations
        if passes % self.gradient_accumulation_steps:
            problems.append(
                f"steps_per_generation ({self.steps_per_generation}) x num_iterations ({self.num_iterations}) must be "
                f"a multiple of gradient_accumulation_steps ({self.gradient_accumulation_steps})"
            )
        elif self.save_strategy == "steps" and self.save_steps % self.window:
            problems.append(
                f"save_steps ({self.save_steps}) must be a multiple of {self.window} = steps_per_generation "
                f"({self.steps_per_generation}) x num_iterations ({self.num_iterations}) / "
                f"gradient_accumulation_steps ({self.gradient_accumulation_steps}): a run resumes between generated "
                "batches"
            )
        return problems
