"""What a user may set for each stage. Light: pydantic only, so that planning needs neither GPU nor OpenRLHF.

What means the same is an option of `salmon_core.kit.training_options`, as in backend trl, so that changing `backend:`
is enough.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from salmon_core.api import paper
from salmon_core.kit.training_options import (
    BetaField,
    GroupFields,
    LoRAOptions,
    PPOFields,
    PretrainFields,
    RewardModelFields,
    RolloutFields,
    RowFields,
    multiples,
)
from salmon_core.kit.training_options import TrainOptions as SharedOptions

Value = bool | int | float | str | list[int | float | str]


class TrainOptions(SharedOptions):
    """What all stages share."""

    warmup_steps: float = Field(
        0.03, ge=0, description="share of all steps; 1 and more: optimizer steps, with max_steps"
    )
    total_batch_size: PositiveInt = Field(64, description="sequences in one optimizer step, over all GPUs")
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
    extra: dict[str, Value] = Field(
        default_factory=dict,
        description="any further OpenRLHF flag, without its dashes: `{actor.dual_clip: 3.0, ds.overlap_comm: true}`",
    )


class RowOptions(RowFields, TrainOptions):
    """Of the stages that train on fixed rows."""

    hostfile: str | None = Field(None, description="DeepSpeed's list of machines; needed with `nodes` above 1")

    def problems(self) -> list[str]:
        found = super().problems()
        if self.warmup_steps >= 1:
            found.append("OpenRLHF takes the warm-up as a share of all steps: write warmup_steps below 1")
        if self.nodes > 1 and self.hostfile is None:
            found.append("nodes above 1 needs a hostfile: DeepSpeed starts this stage, not Ray")
        if self.hostfile is not None and not self.hostfile.startswith("/"):
            found.append("hostfile has to be an absolute path: DeepSpeed reads it in the stage's folder")
        return found


class SFTOptions(RowOptions):
    """Supervised fine-tuning on completions."""


class RewardOptions(RewardModelFields, RowOptions):
    """The principle-following reward model (arXiv 2310.05910, 3.2)."""


class PretrainOptions(PretrainFields, RewardOptions):
    """The same on preferences without principles, before."""


class PolicyOptions(RolloutFields, TrainOptions):
    """Reinforcement learning (arXiv 2310.05910, 3.3), whatever the algorithm."""

    per_device_rollout_batch_size: PositiveInt | None = Field(
        None, description="completions in one forward without gradients; null: per_device_train_batch_size"
    )
    max_prompt_length: PositiveInt = Field(
        256,
        description="tokens; a longer prompt is an error, never cut",
        json_schema_extra=paper(256, "RL: longest prompt"),
    )
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
        found += multiples(self, "generation_batch_size", "num_generations", "total_batch_size")
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


class ReinforceOptions(BetaField, PolicyOptions):
    """REINFORCE++: no critic and no group; advantages are whitened over the batch."""

    @property
    def kl(self) -> float:
        return self.beta


class GroupOptions(GroupFields, ReinforceOptions):
    """GRPO, RLOO, REINFORCE++-baseline: completions of a prompt are compared with each other."""


class PPOOptions(PPOFields, PolicyOptions):
    """PPO with a critic and a KL penalty in the reward, as the paper runs it."""

    cliprange_value: float = Field(0.2, gt=0, description="clipping of the value's change")

    @property
    def kl(self) -> float:
        return self.kl_coef
