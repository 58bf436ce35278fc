"""Weights in 4 or 8 bits, by bitsandbytes: the same way in every engine and trainer on models of Hugging Face."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Literal

Quantization = Literal["nf4", "int8"]
#: heads: one is trained, the other is tied to embeddings or decides tokens
_WHOLE = ["lm_head", "score"]


def missing(quantization: Quantization | None) -> str | None:
    """Why weights cannot be held so here; None where they can."""
    if quantization is None or find_spec("bitsandbytes") is not None:
        return None
    return f"quantization: {quantization} needs bitsandbytes"


def quantization_config(quantization: Quantization, compute: Any) -> Any:
    """transformers' `quantization_config`.

    Args:
        quantization: `nf4`, double-quantised as in QLoRA (arXiv 2305.14314), or `int8` (arXiv 2208.07339).
        compute: torch's dtype in which 4 bits are multiplied.
    """
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_8bit=True, llm_int8_skip_modules=_WHOLE
        )
    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=_WHOLE,
    )
