"""What a configuration may say of the harness."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from salmon_core.api import HubPath

#: arguments of the harness's model that the evaluator sets
_OWN = frozenset(("pretrained", "peft", "dtype", "device", "batch_size", "max_batch_size", "trust_remote_code"))


class Options(BaseModel):
    """What a configuration may set."""

    model_config = ConfigDict(extra="forbid")

    tasks: list[HubPath] = Field(
        min_length=1, description="tasks, groups or tags by the harness's names; or paths of a task's YAML or a folder"
    )
    include: list[HubPath] = Field([], description="further folders of tasks, which `tasks` may name")
    num_fewshot: int | None = Field(None, ge=0, description="examples before each document; null: as the task says")
    limit: float | None = Field(
        None, gt=0, description="documents of each task; below 1 a share of them; null: all of them"
    )
    batch_size: int | Literal["auto"] = Field(8, description="of the harness")
    apply_chat_template: bool = Field(False, description="ask in a conversation, by the model's chat template")
    fewshot_as_multiturn: bool = Field(True, description="examples as turns of that conversation")
    system_instruction: str | None = Field(None, min_length=1, description="comes before everything")
    gen_kwargs: dict[str, Any] = Field({}, description="of sampling, put over what tasks say")
    seed: int | None = Field(None, ge=0, lt=2**32, description="of all the harness's chance; null: the run's")
    bootstrap_iters: int = Field(1000, ge=0, description="of the harness's standard errors of what is no mean")
    log_samples: bool = Field(
        True, description="write down each document's answers; without, changes have wider, unpaired intervals"
    )
    confirm_run_unsafe_code: bool = Field(
        False, description="tasks may run code that the model wrote; needs HF_ALLOW_CODE_EVAL=1 in the environment too"
    )
    model_args: dict[str, Any] = Field({}, description="further arguments of the harness's model `hf`")

    @field_validator("batch_size")
    @classmethod
    def _some(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("has to be 1 at least")
        return value

    @field_validator("limit")
    @classmethod
    def _whole(cls, value: float | None) -> float | None:
        if value is not None and value >= 1 and value != int(value):
            raise ValueError("from 1 on is a whole number")
        return value

    @field_validator("model_args")
    @classmethod
    def _additions(cls, value: dict[str, Any]) -> dict[str, Any]:
        if own := sorted(_OWN & value.keys()):
            raise ValueError(f"cannot set {', '.join(own)}: the policy's section of the configuration does")
        return value
