"""What a user may set for each stage. Light: pydantic only, so that planning needs no trainer.

Names are TRL's and transformers' own where the setting is theirs. Defaults are those of arXiv 2310.05910 where it
gives one (stages 2 and 3), else TRL's.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from salmon_core.backend_kit import LoRAOptions


class TrainOptions(BaseModel):
    """What all stages share."""

    model_config = ConfigDict(extra="forbid")

    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate of AdamW")
    lr_scheduler_type: str = Field("cosine", description="any scheduler name of transformers")
    warmup_steps: float = Field(0.03, ge=0, description="optimizer steps; below 1: share of all steps")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    max_grad_norm: float = Field(1.0, ge=0, description="gradient clipping; 0: off")
    max_steps: PositiveInt | None = Field(None, description="stop after this many optimizer steps")
    per_device_train_batch_size: PositiveInt = Field(8, description="sequences (pairs for the RM) in one forward")
    total_batch_size: PositiveInt = Field(64, description="sequences in one optimizer step, over all processes")
    gradient_accumulation_steps: PositiveInt | None = Field(
        None, description="null: derived from total_batch_size; given: replaces it"
    )
    bf16: bool | None = Field(None, description="mixed precision; null: on where the GPU has it, off on a CPU")
    gradient_checkpointing: bool = Field(False, description="recompute activations to save memory")
    attn_implementation: str | None = Field(None, description="`sdpa`, `flash_attention_2`, ...; null: the default")
    lora: LoRAOptions | None = Field(
        None, description="train an adapter: `{r: 64, alpha: 16, dropout: 0, target_modules: null}`"
    )
    merge: bool = Field(True, description="merge the adapter into the saved model")
    save_steps: PositiveInt | None = Field(None, description="optimizer steps between checkpoints; null: ten a run")
    save_total_limit: int = Field(2, ge=2, description="checkpoints kept; two, so that one is always complete")
    logging_steps: PositiveInt = Field(10, description="optimizer steps between log lines")
    tensorboard: bool = Field(True, description="also write scalars to `tb/`, where tensorboard is installed")
    report_to: list[str] = Field(default_factory=list, description="further trackers by transformers' names")
    threads: PositiveInt | None = Field(None, description="CPU threads of a process; 1 is fastest for tiny models")
    extra: dict[str, Any] = Field(default_factory=dict, description="any further TRL argument, by TRL's name")

    @model_validator(mode="after")
    def _possible(self) -> TrainOptions:
        if problems := self.problems():
            raise ValueError("; ".join(problems))
        return self

    def problems(self) -> list[str]:
        """All combinations of settings that cannot work, as sentences."""
        found = []
        if self.gradient_accumulation_steps is None and self.total_batch_size % self.per_device_train_batch_size:
            found.append(
                f"total_batch_size ({self.total_batch_size}) must be a multiple of per_device_train_batch_size "
                f"({self.per_device_train_batch_size})"
            )
        if not self.merge and self.lora is None:
            found.append("merge: false needs lora")
        for name in sorted(set(self.extra) & set(type(self).model_fields)):
            found.append(f"extra.{name} is an option of its own: write it as {name}")
        return found


class RowOptions(TrainOptions):
    """Of the stages that train on fixed rows."""

    num_train_epochs: PositiveInt = Field(1, description="passes over the data (paper, reward model: 1)")
    max_length: PositiveInt = Field(2048, description="tokens; a longer row is an error, never cut")
    group_by_length: bool = Field(True, description="batches of similar length: less padding")
    eval_steps: PositiveInt | None = Field(None, description="steps between evaluations; null: only at the end")


class SFTOptions(RowOptions):
    """Supervised fine-tuning on completions."""


class RewardOptions(RowOptions):
    """The principle-following reward model (arXiv 2310.05910, 3.2)."""

    learning_rate: float = Field(3e-5, gt=0, description="peak learning rate of AdamW (paper: 3e-5)")
    max_length: PositiveInt = Field(1280, description="tokens (paper: 1280); a longer row is an error, never cut")
    head_init: Literal["zero", "default"] = Field(
        "zero", description="zero: a fresh score head of zeros; default: the model's own head, or a random one"
    )
    use_margin: bool = Field(False, description="subtract the row's margin inside the Bradley-Terry loss")


class RolloutOptions(TrainOptions):
    """Reinforcement learning of the policy (arXiv 2310.05910, 3.3), whatever the algorithm."""

    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate of AdamW (paper: 2e-5)")
    lr_scheduler_type: str = Field("constant_with_warmup", description="any scheduler name of transformers")
    warmup_steps: float = Field(5, ge=0, description="optimizer steps (paper: 5); below 1: share of all steps")
    total_batch_size: PositiveInt = Field(288, description="completions in one optimizer step (paper: 288)")
    generation_batch_size: PositiveInt = Field(576, description="completions generated at once (paper: 576)")
    num_generations: PositiveInt = Field(1, description="completions per prompt")
    num_iterations: PositiveInt = Field(2, description="passes over each generated batch (paper: 2)")
    max_completion_length: PositiveInt = Field(1024, description="tokens, EOS included (paper: 1024)")
    temperature: float = Field(0.7, gt=0, description="of sampling (paper: 0.7)")
    top_p: float = Field(1.0, gt=0, le=1, description="of sampling")
    epsilon: float = Field(0.2, gt=0, description="clipping of the probability ratio")
    use_vllm: bool = Field(False, description="generate with vLLM")
    vllm_mode: Literal["colocate", "server"] = Field("colocate", description="where vLLM runs")
    vllm_gpu_memory_utilization: float = Field(0.3, gt=0, le=1, description="GPU share of a colocated vLLM")
    logging_steps: PositiveInt = Field(1, description="optimizer steps between log lines")
    log_rollouts_every: int = Field(10, ge=0, description="write each N-th generated batch to `rollouts.jsonl`; 0: off")

    def problems(self) -> list[str]:
        found = super().problems()
        batch = self.generation_batch_size
        if batch % self.num_generations:
            found.append(
                f"generation_batch_size ({batch}) must be a multiple of num_generations ({self.num_generations})"
            )
        if self.gradient_accumulation_steps is None and batch % self.total_batch_size:
            found.append(f"generation_batch_size ({batch}) must be a multiple of total_batch_size "
                         f"({self.total_batch_size}): the optimizer steps of a generated batch")  # fmt: skip
        if "mask_truncated_completions" in self.extra:
            found.append(
                "extra.mask_truncated_completions is refused: it hides unfinished completions from the missing-stop "
                "penalty"
            )
        if "load_best_model_at_end" in self.extra:
            found.append("extra.load_best_model_at_end is refused: there is no evaluation during RL")
        return found


class GroupOptions(RolloutOptions):
    """GRPO and RLOO: completions of a prompt are compared with each other."""

    num_generations: int = Field(8, ge=2, description="completions per prompt: a group")
    beta: float = Field(0.01, ge=0, description="KL coefficient (paper: 0.01); 0: no reference model")
    loss_type: str | None = Field(None, description="grpo only: TRL's loss_type; null: TRL's default")
    scale_rewards: Literal["group", "batch", "none"] | None = Field(None, description="grpo only; null: `group`")


class PPOOptions(RolloutOptions):
    """PPO with a critic and a KL penalty in the reward, as the paper runs it."""

    kl_coef: float = Field(0.01, ge=0, description="KL penalty per token (paper: 0.01); 0: no reference model")
    kl_estimator: Literal["k1", "k3"] = Field("k1", description="of the KL divergence, per token")
    gamma: float = Field(1.0, ge=0, le=1, description="discount factor")
    lam: float = Field(0.95, ge=0, le=1, description="lambda of generalised advantage estimation")
    whiten_advantages: bool = Field(True, description="over the generated batch of all processes (paper: yes)")
    vf_coef: float = Field(0.1, ge=0, description="weight of the value loss")
    cliprange_value: float = Field(0.2, ge=0, description="clipping of the value's change; 0: off")
    critic: str | None = Field(
        None, description="where the critic starts: `reward`, `policy`, or a folder; null: the RM, where there is one"
    )
    critic_lora: LoRAOptions | None = Field(None, description="train an adapter of the critic; null: as the policy")
    critic_learning_rate: float | None = Field(None, gt=0, description="null: the policy's")
    sharing: Literal["separate", "adapters"] = Field(
        "separate", description="adapters: policy, critic and RM are adapters of one base model (paper: yes)"
    )
    quantization: Literal["nf4"] | None = Field(
        None, description="nf4: the shared base in 4 bits (paper: yes); needs bitsandbytes"
    )
    missing_eos_penalty: float | None = Field(
        None, ge=0, description="for runs without salmon's rewards; in a pipeline use the bonus missing-stop"
    )

    def problems(self) -> list[str]:
        found = super().problems()
        if self.sharing == "adapters":
            if self.lora is None:
                found.append("sharing: adapters needs lora: the policy is an adapter too")
            if self.critic not in (None, "reward", "policy"):
                found.append("sharing: adapters starts the critic from `reward` or `policy`, not from a folder")
        elif self.quantization is not None:
            found.append("quantization needs sharing: adapters")
        return found


class LaunchOptions(BaseModel):
    """`launch:` of a training stage."""

    model_config = ConfigDict(extra="ignore")

    processes: PositiveInt = 1
    accelerate_config: str | None = None
