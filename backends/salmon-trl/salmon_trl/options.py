"""What a user may set for each stage. Light: pydantic only, so that planning needs no trainer.

Names are TRL's and transformers' own where the setting is theirs.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from salmon_core.api import paper
from salmon_core.kit.training_options import (
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


class TrainOptions(SharedOptions):
    """What all stages share."""

    max_steps: PositiveInt | None = Field(None, description="stop after this many optimizer steps")
    gradient_accumulation_steps: PositiveInt | None = Field(
        None, description="null: derived from total_batch_size; given: replaces it"
    )
    bf16: bool | None = Field(None, description="mixed precision; null: on where the GPU has it, off on a CPU")
    attn_implementation: str | None = Field(None, description="`sdpa`, `flash_attention_2`, ...; null: the default")
    merge: bool = Field(True, description="merge the adapter into the saved model")
    quantization: Literal["nf4"] | None = Field(
        None,
        description="nf4: the base in 4 bits while its adapter is trained (QLoRA); needs lora and bitsandbytes",
        json_schema_extra=paper("nf4", "precision of the base below adapters"),
    )
    logging_steps: PositiveInt = Field(10, description="optimizer steps between log lines")
    tensorboard: bool = Field(True, description="also write scalars to `tb/`, where tensorboard is installed")
    report_to: list[str] = Field(default_factory=list, description="further trackers by transformers' names")
    extra: dict[str, Any] = Field(default_factory=dict, description="any further TRL argument, by TRL's name")

    def problems(self) -> list[str]:
        found = [] if self.gradient_accumulation_steps is not None else super().problems()
        if not self.merge and self.lora is None:
            found.append("merge: false needs lora")
        if self.quantization is not None and self.lora is None:
            found.append("quantization needs lora: weights in 4 bits cannot be trained")
        for name in sorted(set(self.extra) & set(type(self).model_fields)):
            found.append(f"extra.{name} is an option of its own: write it as {name}")
        return found


class FixedRowOptions(RowFields, TrainOptions):
    """Of what trains on fixed rows."""

    group_by_length: bool = Field(True, description="batches of similar length: less padding")


class RowOptions(FixedRowOptions):
    """The same, with rows to evaluate on."""

    eval_steps: PositiveInt | None = Field(None, description="steps between evaluations; null: only at the end")


class SFTOptions(RowOptions):
    """Supervised fine-tuning on completions."""


class RewardOptions(RewardModelFields, RowOptions):
    """The principle-following reward model (arXiv 2310.05910, 3.2)."""

    head_init: Literal["zero", "default"] = Field(
        "zero",
        description="zero: a fresh score head of zeros; default: the model's own head, or a random one; after"
        " pretrain-rm it is always that stage's",
    )


class PretrainOptions(PretrainFields, RewardOptions):
    """The same on preferences without principles, before."""


class DPOOptions(DPOFields, FixedRowOptions):
    """Direct preference optimisation on preference rows (arXiv 2305.18290)."""

    loss_type: Literal["sigmoid", "sigmoid_norm", "ipo", "hinge", "robust", "apo_zero"] = Field(
        "sigmoid",
        description="by TRL's names: `sigmoid` (the paper's), `sigmoid_norm`, `ipo`, `hinge`, `robust`, `apo_zero`",
    )


class RolloutOptions(RolloutFields, TrainOptions):
    """Reinforcement learning of the policy (arXiv 2310.05910, 3.3), whatever the algorithm."""

    warmup_steps: float = Field(
        5,
        ge=0,
        description="optimizer steps; below 1: share of all steps",
        json_schema_extra=paper(5, "RL: warm-up"),
    )
    logging_steps: PositiveInt = Field(1, description="optimizer steps between log lines")
    use_vllm: bool = Field(False, description="generate with vLLM")
    vllm_mode: Literal["colocate", "server"] = Field("colocate", description="where vLLM runs")
    vllm_gpu_memory_utilization: float = Field(0.3, gt=0, le=1, description="GPU share of a colocated vLLM")

    def problems(self) -> list[str]:
        found = super().problems()
        given = self.gradient_accumulation_steps is not None
        found += multiples(self, "generation_batch_size", "num_generations", *([] if given else ["total_batch_size"]))
        if "mask_truncated_completions" in self.extra:
            found.append(
                "extra.mask_truncated_completions is refused: it hides unfinished completions from the missing-stop "
                "penalty"
            )
        if "load_best_model_at_end" in self.extra:
            found.append("extra.load_best_model_at_end is refused: there is no evaluation during RL")
        return found


class GroupOptions(GroupFields, RolloutOptions):
    """GRPO and RLOO: completions of a prompt are compared with each other."""

    loss_type: str | None = Field(None, description="grpo only: TRL's loss_type; null: TRL's default")
    scale_rewards: Literal["group", "batch", "none"] | None = Field(None, description="grpo only; null: `group`")


class PPOOptions(PPOFields, RolloutOptions):
    """PPO with a critic and a KL penalty in the reward, as the paper runs it."""

    kl_estimator: Literal["k1", "k3"] = Field("k1", description="of the KL divergence, per token")
    whiten_advantages: bool = Field(
        True, description="over the generated batch of all processes", json_schema_extra=paper(True)
    )
    vf_coef: float = Field(0.1, ge=0, description="weight of the value loss")
    cliprange_value: float = Field(0.2, ge=0, description="clipping of the value's change; 0: off")
    critic_lora: LoRAOptions | None = Field(None, description="train an adapter of the critic; null: as the policy")
    critic_reads: Literal["prompt", "principles"] = Field(
        "prompt",
        description="what the critic is shown before the completion: the policy's prompt, or that and the principles"
        " that the rollout is scored by",
    )
    sharing: Literal["separate", "adapters"] = Field(
        "separate",
        description="adapters: policy, critic and RM are adapters of one base model",
        json_schema_extra=paper("adapters", "RL: policy, critic and reward model on one base"),
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
                found.append("sharing: adapters starts the critic from `reward` or `policy`, not from a model")
        elif self.quantization is not None:
            found.append("quantization needs sharing: adapters: a critic of its own would not be in 4 bits")
        return found
