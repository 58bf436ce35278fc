"""What a user may set for each stage. Light: pydantic only, so that planning needs neither GPU nor OpenRLHF.

What means the same has the same name as in the TRL backend, so that changing `backend:` is enough. Defaults are those
of arXiv 2310.05910 where it gives one, else OpenRLHF's.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from salmon_core.backend_kit import LoRAOptions

Value = bool | int | float | str | list[int | float | str]


class TrainOptions(BaseModel):
    """What all stages share."""

    model_config = ConfigDict(extra="forbid")

    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate of AdamW")
    lr_scheduler_type: str = Field("cosine", description="any scheduler name of transformers")
    warmup_steps: float = Field(
        0.03, ge=0, description="share of all steps; 1 and more: optimizer steps, with max_steps"
    )
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    max_grad_norm: float = Field(1.0, ge=0, description="gradient clipping; 0: off")
    per_device_train_batch_size: PositiveInt = Field(8, description="sequences (pairs for the RM) in one forward")
    total_batch_size: PositiveInt = Field(64, description="sequences in one optimizer step, over all GPUs")
    gradient_checkpointing: bool = Field(False, description="recompute activations to save memory")
    attn_implementation: str = Field("flash_attention_2", description="`flash_attention_2`, `sdpa`, `eager`, ...")
    lora: LoRAOptions | None = Field(
        None,
        description="sft only: an adapter, merged afterwards: `{r: 64, alpha: 16, dropout: 0, target_modules: null}`",
    )
    nodes: PositiveInt = Field(1, description="machines")
    gpus_per_node: PositiveInt | None = Field(
        None, description="GPUs of each machine that hold the trained model; null: `launch.processes`"
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(2, description="DeepSpeed ZeRO: what is sharded over the GPUs")
    offload_optimizer: bool = Field(False, description="keep AdamW's state in CPU memory")
    save_steps: PositiveInt | None = Field(None, description="optimizer steps between checkpoints; null: see Resume")
    save_total_limit: int = Field(2, ge=2, description="checkpoints kept; two, so that one is always complete")
    logging_steps: PositiveInt = Field(1, description="steps between log lines")
    threads: PositiveInt | None = Field(None, description="CPU threads of a process (OMP_NUM_THREADS)")
    extra: dict[str, Value] = Field(
        default_factory=dict,
        description="any further OpenRLHF flag, without its dashes: `{actor.dual_clip: 3.0, ds.overlap_comm: true}`",
    )

    @model_validator(mode="after")
    def _possible(self) -> TrainOptions:
        if problems := self.problems():
            raise ValueError("; ".join(problems))
        return self

    def problems(self) -> list[str]:
        """All combinations of settings that cannot work on any number of GPUs, as sentences."""
        if self.total_batch_size % self.per_device_train_batch_size:
            return [
                f"total_batch_size ({self.total_batch_size}) must be a multiple of per_device_train_batch_size "
                f"({self.per_device_train_batch_size})"
            ]
        return []


class RowOptions(TrainOptions):
    """Of the stages that train on fixed rows."""

    num_train_epochs: PositiveInt = Field(1, description="passes over the data (paper, reward model: 1)")
    max_length: PositiveInt = Field(2048, description="tokens; a longer row is an error, never cut")
    hostfile: str | None = Field(None, description="DeepSpeed's list of machines; needed with `nodes` above 1")

    def problems(self) -> list[str]:
        found = super().problems()
        if self.warmup_steps >= 1:
            found.append("OpenRLHF takes the warm-up as a share of all steps: write warmup_steps below 1")
        if self.nodes > 1 and self.hostfile is None:
            found.append("nodes above 1 needs a hostfile: DeepSpeed starts this stage, not Ray")
        return found


class SFTOptions(RowOptions):
    """Supervised fine-tuning on completions."""


class RewardOptions(RowOptions):
    """The principle-following reward model (arXiv 2310.05910, 3.2)."""

    learning_rate: float = Field(3e-5, gt=0, description="peak learning rate of AdamW (paper: 3e-5)")
    max_length: PositiveInt = Field(1280, description="tokens (paper: 1280); a longer row is an error, never cut")
    use_margin: bool = Field(False, description="subtract the row's margin inside the Bradley-Terry loss")


class PolicyOptions(TrainOptions):
    """Reinforcement learning (arXiv 2310.05910, 3.3), whatever the algorithm."""

    lr_scheduler_type: str = Field("constant_with_warmup", description="any scheduler name of transformers")
    max_steps: PositiveInt | None = Field(None, description="stop after this many optimizer steps")
    total_batch_size: PositiveInt = Field(288, description="completions in one optimizer step (paper: 288)")
    generation_batch_size: PositiveInt = Field(576, description="completions generated at once (paper: 576)")
    per_device_rollout_batch_size: PositiveInt | None = Field(
        None, description="completions in one forward without gradients; null: per_device_train_batch_size"
    )
    num_generations: PositiveInt = Field(1, description="completions per prompt")
    num_iterations: PositiveInt = Field(2, description="passes over each generated batch (paper: 2)")
    max_prompt_length: PositiveInt = Field(
        256, description="tokens (paper: 256); a longer prompt is an error, never cut"
    )
    max_completion_length: PositiveInt = Field(1024, description="tokens, EOS included (paper: 1024)")
    temperature: float = Field(0.7, gt=0, description="of sampling (paper: 0.7)")
    top_p: float = Field(1.0, gt=0, le=1, description="of sampling")
    epsilon: float = Field(0.2, gt=0, description="clipping of the probability ratio")
    colocate: Literal["all", "actor_ref", "none"] = Field(
        "all", description="what shares GPUs: every model and vLLM; policy and reference; nothing"
    )
    ray_address: str | None = Field(None, description="a running Ray (`auto`, HOST:PORT); null: Ray's own rule")
    vllm_engines: PositiveInt | None = Field(None, description="null: as many as fit the GPUs (colocate: all), else 1")
    vllm_tensor_parallel_size: PositiveInt = Field(1, description="GPUs of one engine")
    vllm_gpu_memory_utilization: float = Field(0.5, gt=0, le=1, description="share of a GPU that vLLM may take")
    vllm_enforce_eager: bool = Field(False, description="no CUDA graphs")
    vllm_sync_backend: str = Field("nccl", description="how weights reach vLLM")
    sleep: bool = Field(True, description="colocate: all: vLLM and DeepSpeed give up their memory in turns")
    offload_reference: bool = Field(False, description="keep the reference model in CPU memory")
    is_correction: Literal["off", "token", "seq"] = Field(
        "token",
        description="importance weights between vLLM's and the trainer's probabilities; `off`: no vllm_kl either",
    )
    reward_gpu: int | None = Field(
        None,
        ge=1,
        description="this machine's GPU for the reward server, training gets those before it; null: by `policy.device`",
    )
    reward_host: str | None = Field(
        None, description="address at which the other machines reach the reward server; null: this machine only"
    )
    log_rollouts_every: int = Field(10, ge=0, description="write each N-th generated batch to `rollouts.jsonl`; 0: off")
    reward_ready_timeout: float = Field(600.0, gt=0, description="seconds to load the reward model")

    @property
    def kl(self) -> float:
        """Coefficient of the KL divergence from the start model."""
        raise NotImplementedError

    @property
    def prompts(self) -> int:
        """Prompts of a generated batch."""
        return self.generation_batch_size // self.num_generations

    @property
    def window(self) -> int:
        """Optimizer steps of a generated batch."""
        return self.generation_batch_size // self.total_batch_size * self.num_iterations

    def problems(self) -> list[str]:
        found = super().problems()
        batch = self.generation_batch_size
        for name in ("num_generations", "total_batch_size"):
            if batch % (size := getattr(self, name)):
                found.append(f"generation_batch_size ({batch}) must be a multiple of {name} ({size})")
        if found:
            return found
        if self.warmup_steps >= 1 and self.max_steps is None:
            found.append("OpenRLHF takes the warm-up as a share of all steps: set max_steps, or warmup_steps below 1")
        for name in ("save_steps", "max_steps"):
            value = getattr(self, name)
            if value is not None and value % self.window:
                found.append(
                    f"{name} ({value}) must be a multiple of {self.window}, the optimizer steps of one generated batch "
                    f"(generation_batch_size / total_batch_size x num_iterations)"
                )
        return found


class ReinforceOptions(PolicyOptions):
    """REINFORCE++: no critic and no group; advantages are whitened over the batch."""

    beta: float = Field(0.01, ge=0, description="KL coefficient (paper: 0.01); 0: no reference model")

    @property
    def kl(self) -> float:
        return self.beta


class GroupOptions(ReinforceOptions):
    """GRPO, RLOO, REINFORCE++-baseline: completions of a prompt are compared with each other."""

    num_generations: int = Field(8, ge=2, description="completions per prompt: a group")


class PPOOptions(PolicyOptions):
    """PPO with a critic and a KL penalty in the reward, as the paper runs it."""

    kl_coef: float = Field(0.01, ge=0, description="KL penalty per token (paper: 0.01); 0: no reference model")
    gamma: float = Field(1.0, ge=0, le=1, description="discount factor")
    lam: float = Field(0.95, ge=0, le=1, description="lambda of generalised advantage estimation")
    cliprange_value: float = Field(0.2, gt=0, description="clipping of the value's change")
    critic: str | None = Field(
        None, description="where the critic starts: `reward`, `policy`, or a folder; null: the RM, where there is one"
    )
    critic_learning_rate: float | None = Field(None, gt=0, description="null: the policy's")

    @property
    def kl(self) -> float:
        return self.kl_coef


class LaunchOptions(BaseModel):
    """`launch:` of a training stage."""

    model_config = ConfigDict(extra="ignore")

    processes: PositiveInt = 1
    accelerate_config: str | None = None
