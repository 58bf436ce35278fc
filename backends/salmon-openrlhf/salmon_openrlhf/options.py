"""What a user may set for each stage. Light: pydantic only, so that planning needs neither GPU nor OpenRLHF.

What means the same is an option of `salmon_core.kit.training_options`, as in backend trl, so that changing `backend:`
is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PositiveInt, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from salmon_core.api import paper
from salmon_core.kit.training_options import (
    BetaField,
    DPOFields,
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

#: options of backend trl -> why OpenRLHF has none of that, where it has none
ONLY_TRL: Mapping[str, str] = {
    "max_steps": "OpenRLHF trains whole epochs on rows: set num_train_epochs",
    "gradient_accumulation_steps": "follows from total_batch_size and per_device_train_batch_size",
    "group_by_length": "OpenRLHF shuffles rows by itself, whatever their lengths",
    "eval_steps": "there is no evaluation inside this trainer; use `evaluate:`",
    "bf16": "OpenRLHF trains in bfloat16, or in float16 with policy.dtype: float16",
    "merge": "an adapter of OpenRLHF is always merged: later stages load whole models there",
    "quantization": "adapters on a base in 4 bits are not tested with OpenRLHF",
    "tensorboard": "OpenRLHF's log is TensorBoard's files in tb/, always written",
    "report_to": "trackers of OpenRLHF want a secret in the command line; salmon's events and tb/ have the numbers",
}


class TrainOptions(SharedOptions):
    """What all stages share."""

    warmup_steps: float = Field(
        0.03, ge=0, description="share of all steps; 1 and more: optimizer steps, with max_steps"
    )
    total_batch_size: PositiveInt = Field(64, description="sequences in one optimizer step, over all GPUs")
    attn_implementation: str = Field("flash_attention_2", description="`flash_attention_2`, `sdpa`, `eager`, ...")
    lora: LoRAOptions | None = Field(
        None,
        description=(
            "sft and dpo only: an adapter, merged afterwards: `{r: 64, alpha: 16, dropout: 0, target_modules: null}`"
        ),
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

    @model_validator(mode="wrap")
    @classmethod
    def _with_reasons(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """An option that is backend trl's alone is refused with the reason, beside all else that is wrong."""
        try:
            return handler(values)
        except ValidationError as error:
            raise ValidationError.from_exception_data(error.title, list(map(_reasoned, error.errors()))) from None


def _reasoned(item: Any) -> InitErrorDetails:
    """One of pydantic's errors, with a message that says why where we know."""
    reason = ONLY_TRL.get(str(item["loc"][0])) if item["type"] == "extra_forbidden" and len(item["loc"]) == 1 else None
    kind = item["type"] if reason is None else PydanticCustomError("value_error", "{why}", {"why": reason})
    return InitErrorDetails(type=kind, loc=item["loc"], input=item["input"], ctx=item.get("ctx", {}))


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


#: losses of DPO that backend trl has -> why they are none here
LOSSES_OF_TRL: Mapping[str, str] = {
    **dict.fromkeys(("sigmoid_norm", "hinge", "robust", "apo_zero"), "OpenRLHF has no such loss; backend trl has"),
    "ipo": "OpenRLHF adds up an answer's log-probabilities, where backend trl's `ipo` takes their mean: write ipo_sum",
}


class DPOOptions(DPOFields, RowOptions):
    """Direct preference optimisation on preference rows (arXiv 2305.18290)."""

    loss_type: Literal["sigmoid", "ipo_sum"] = Field(
        "sigmoid",
        description="`sigmoid` (the paper's); `ipo_sum`: IPO (arXiv 2310.12036) on sums of log-probabilities, no means",
    )
    nll_loss_coef: float = Field(
        0.0, ge=0, description="weight of the better answer's negative log-likelihood per token, added to the loss"
    )
    offload_reference: bool = Field(False, description="keep the reference model in CPU memory")

    @field_validator("loss_type", mode="before")
    @classmethod
    def _a_loss_of_openrlhf(cls, value: Any) -> Any:
        if isinstance(value, str) and value in LOSSES_OF_TRL:
            raise ValueError(f"{value!r} is refused: {LOSSES_OF_TRL[value]}")
        return value

    def problems(self) -> list[str]:
        found = super().problems()
        if self.label_smoothing and self.loss_type != "sigmoid":
            found.append(f"label_smoothing means nothing to loss_type: {self.loss_type}")
        if self.offload_reference and self.zero_stage != 3:
            found.append("offload_reference needs zero_stage: 3: DeepSpeed keeps parameters in CPU memory in no other")
        return found


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
