"""Options that trainer backends share: what means the same has one name and one default, whatever trains.

Defaults are those of arXiv 2310.05910 where it gives one. A backend's own model is one of these classes, or several
with the more special one first: `class RolloutOptions(RolloutFields, MyTrainOptions)`.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from salmon_core.api.component import HubPath, paper


class LoRAOptions(BaseModel):
    """A low-rank adapter instead of training all weights (arXiv 2106.09685)."""

    model_config = ConfigDict(extra="forbid")

    r: PositiveInt = Field(64, description="rank", json_schema_extra=paper(64))
    alpha: PositiveInt = Field(
        16, description="scale; the update is multiplied by alpha / r", json_schema_extra=paper(16)
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of the adapter's input")
    target_modules: list[str] | str | None = Field(None, description="module names; null: every linear layer")


class TrainOptions(BaseModel):
    """What all stages share."""

    model_config = ConfigDict(extra="forbid")

    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate of AdamW")
    lr_scheduler_type: str = Field("cosine", description="any scheduler name of transformers")
    warmup_steps: float = Field(0.03, ge=0, description="optimizer steps; below 1: share of all steps")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    max_grad_norm: float = Field(1.0, ge=0, description="gradient clipping; 0: off")
    per_device_train_batch_size: PositiveInt = Field(8, description="sequences (pairs for the RM) in one forward")
    total_batch_size: PositiveInt = Field(64, description="sequences in one optimizer step, over all processes")
    gradient_checkpointing: bool = Field(False, description="recompute activations to save memory")
    lora: LoRAOptions | None = Field(
        None, description="train an adapter: `{r: 64, alpha: 16, dropout: 0, target_modules: null}`"
    )
    save_steps: PositiveInt | None = Field(None, description="optimizer steps between checkpoints; null: see Resume")
    save_total_limit: int = Field(2, ge=2, description="checkpoints kept; two, so that one is always complete")
    logging_steps: PositiveInt = Field(1, description="optimizer steps between log lines")
    threads: PositiveInt | None = Field(None, description="CPU threads of a process; 1 is fastest for tiny models")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if problems := self.problems():
            raise ValueError("; ".join(problems))
        return self

    def problems(self) -> list[str]:
        """All combinations of settings that cannot work on any number of processes, as sentences."""
        return multiples(self, "total_batch_size", "per_device_train_batch_size")


class RowFields(BaseModel):
    """Of the stages that train on fixed rows."""

    num_train_epochs: PositiveInt = Field(1, description="passes over the data")
    max_length: PositiveInt = Field(2048, description="tokens; a longer row is an error, never cut")


class RewardModelFields(BaseModel):
    """Of the principle-following reward model (arXiv 2310.05910, 3.2)."""

    learning_rate: float = Field(
        3e-5,
        gt=0,
        description="peak learning rate of AdamW",
        json_schema_extra=paper(3e-5, "reward model: learning rate"),
    )
    num_train_epochs: PositiveInt = Field(
        1, description="passes over the data", json_schema_extra=paper(1, "reward model: epochs")
    )
    max_length: PositiveInt = Field(
        1280,
        description="tokens; a longer row is an error, never cut",
        json_schema_extra=paper(1280, "reward model: longest text"),
    )
    use_margin: bool = Field(False, description="subtract the row's margin inside the Bradley-Terry loss")
    lm_loss_coef: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="weight of a language-model loss on the chosen answer, beside the Bradley-Terry loss; 0: none",
    )


class PretrainFields(RewardModelFields):
    """Of its training on preferences without principles before (arXiv 2310.05910, 3.2; 2112.00861, section 4)."""

    learning_rate: float = Field(
        5e-5,
        gt=0,
        description="peak learning rate of AdamW",
        json_schema_extra=paper(5e-5, "reward model, pre-training: learning rate"),
    )
    max_length: PositiveInt = Field(
        1024,
        description="tokens; texts are made no longer",
        json_schema_extra=paper(1024, "reward model, pre-training: longest text"),
    )


class DPOFields(BaseModel):
    """Of direct preference optimisation on preference rows (arXiv 2305.18290)."""

    learning_rate: float = Field(1e-6, gt=0, description="peak learning rate of AdamW; with lora, ten times as much")
    beta: float = Field(0.1, gt=0, description="how strongly the reference holds; of the implicit reward")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="share of labels taken for wrong")


class RolloutFields(BaseModel):
    """Of reinforcement learning (arXiv 2310.05910, 3.3), whatever the algorithm."""

    learning_rate: float = Field(
        2e-5, gt=0, description="peak learning rate of AdamW", json_schema_extra=paper(2e-5, "RL: learning rate")
    )
    lr_scheduler_type: str = Field("constant_with_warmup", description="any scheduler name of transformers")
    total_batch_size: PositiveInt = Field(
        288,
        description="completions in one optimizer step",
        json_schema_extra=paper(288, "RL: completions in one optimizer step"),
    )
    max_steps: PositiveInt | None = Field(None, description="stop after this many optimizer steps")
    generation_batch_size: PositiveInt = Field(
        576,
        description="completions generated at once",
        json_schema_extra=paper(576, "RL: completions generated at once"),
    )
    num_generations: PositiveInt = Field(1, description="completions per prompt")
    num_iterations: PositiveInt = Field(
        2, description="passes over each generated batch", json_schema_extra=paper(2, "RL: epochs per batch")
    )
    max_completion_length: PositiveInt = Field(
        1024, description="tokens, EOS included", json_schema_extra=paper(1024, "RL: tokens at most")
    )
    temperature: float = Field(0.7, gt=0, description="of sampling", json_schema_extra=paper(0.7, "RL: temperature"))
    top_p: float = Field(1.0, gt=0, le=1, description="of sampling")
    epsilon: float = Field(0.2, gt=0, description="clipping of the probability ratio")
    log_rollouts_every: int = Field(10, ge=0, description="write each N-th generated batch to `rollouts/`; 0: off")


class BetaField(BaseModel):
    """Of algorithms other than PPO."""

    beta: float = Field(
        0.01,
        ge=0,
        description="KL coefficient; 0: no reference model",
        json_schema_extra=paper(0.01, "RL: KL coefficient"),
    )


class GroupFields(BetaField):
    """Of algorithms that compare completions of a prompt with each other."""

    num_generations: int = Field(8, ge=2, description="completions per prompt: a group")


class PPOFields(BaseModel):
    """Of PPO with a critic and a KL penalty in the reward, as the paper runs it."""

    kl_coef: float = Field(
        0.01,
        ge=0,
        description="KL penalty per token; 0: no reference model",
        json_schema_extra=paper(0.01, "RL: KL coefficient"),
    )
    gamma: float = Field(1.0, ge=0, le=1, description="discount factor")
    lam: float = Field(0.95, ge=0, le=1, description="lambda of generalised advantage estimation")
    critic: Literal["reward", "policy"] | HubPath | None = Field(
        None,
        description="where the critic starts: `reward`, `policy`, or a model; null: the RM, where there is one",
        union_mode="left_to_right",
    )
    critic_learning_rate: float | None = Field(None, gt=0, description="null: the policy's")


def multiples(options: BaseModel, name: str, *parts: str) -> list[str]:
    """A sentence for each option of `parts` that does not divide the one of that name."""
    whole = getattr(options, name)
    found = [(part, getattr(options, part)) for part in parts]
    return [f"{name} ({whole}) must be a multiple of {part} ({size})" for part, size in found if whole % size]
