"""What a configuration may say of vLLM."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from salmon_core.api import uncounted

#: arguments of vLLM that the engine sets, by an option or by what it is
_OWN = frozenset(
    (
        *("model", "tokenizer", "skip_tokenizer_init", "dtype", "runner", "convert", "pooler_config", "load_format"),
        *("generation_config", "logprobs_mode", "enable_lora", "max_lora_rank", "max_loras", "disable_log_stats"),
        *("max_model_len", "gpu_memory_utilization", "tensor_parallel_size", "enforce_eager", "block_size"),
        "kv_cache_memory_bytes",
    )
)


class Options(BaseModel):
    """What a configuration may set."""

    model_config = ConfigDict(extra="forbid")

    python: str | None = Field(
        None,
        min_length=1,
        description="interpreter that has vLLM: an absolute path, or a name on PATH; by default the one salmon runs in",
        json_schema_extra=uncounted(),
    )
    max_model_len: int | None = Field(
        None, ge=2, description="longest sequence in tokens, less than the model's own to save memory"
    )
    gpu_memory_utilization: float | None = Field(
        None, gt=0, le=1, description="share of each GPU's memory; by default vLLM's", json_schema_extra=uncounted()
    )
    kv_cache_gib: float | None = Field(
        None,
        gt=0,
        description="GiB of the key/value cache, in place of that share; by default 4 on a CPU",
        json_schema_extra=uncounted(),
    )
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that one model is spread over")
    enforce_eager: bool = Field(False, description="no compiling: starts sooner, runs slower")
    block_size: int | None = Field(
        None, ge=1, description="tokens in a block of the cache; by default 32 on a CPU, else vLLM's"
    )
    start_timeout: float = Field(
        900, gt=0, description="seconds until vLLM has to have loaded a model", json_schema_extra=uncounted()
    )
    extra: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of vLLM, as `vllm.EngineArgs` has them"
    )

    @field_validator("python")
    @classmethod
    def _found_anywhere(cls, value: str | None) -> str | None:
        # Stages run in folders of their own.
        if value is not None and os.sep in value and not os.path.isabs(os.path.expanduser(value)):
            raise ValueError("is a relative path; write it from / or ~ on")
        return value

    @field_validator("extra")
    @classmethod
    def _additions(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "trust_remote_code" in value:
            raise ValueError("cannot set trust_remote_code; it belongs to the model")
        if own := sorted(_OWN & value.keys()):
            raise ValueError(f"cannot set {', '.join(own)}: the engine does")
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"has something that JSON cannot say: {error}") from None
        return value

    @property
    def interpreter(self) -> str | None:
        """The interpreter's path; None where there is none of that name."""
        return sys.executable if self.python is None else shutil.which(os.path.expanduser(self.python))

    def arguments(self) -> dict[str, Any]:
        """For vLLM, those that are set."""
        values: dict[str, Any] = {
            "enable_prefix_caching": True,
            **self.extra,
            "tensor_parallel_size": self.tensor_parallel_size,
            "enforce_eager": self.enforce_eager,
            "max_model_len": self.max_model_len,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "block_size": self.block_size,
            "kv_cache_memory_bytes": None if self.kv_cache_gib is None else int(self.kv_cache_gib * 2**30),
        }
        return {name: value for name, value in values.items() if value is not None}
