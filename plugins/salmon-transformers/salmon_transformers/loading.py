"""From a `ModelSpec` to a tokenizer and a model: safetensors only, remote code only where opted in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from salmon_core.api import ModelSpec
from salmon_core.errors import SalmonError
from salmon_core.kit import heap
from salmon_core.kit.hf_files import check_labels, locate, named_base, own_tokenizer, readable
from salmon_transformers.adapters import apply_adapter, provided_heads
from salmon_transformers.how import How

_DTYPES = {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@contextmanager
def _no_bar() -> Iterator[None]:
    """transformers' progress bar would land in the output of `salmon score` and in every stage's log."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def load_model(spec: ModelSpec, kind: Literal["causal", "reward"], how: How | None = None) -> Any:
    """The model, in evaluation mode, on its device, its adapter merged, unless the weights below it are rounded.

    Args:
        spec: which, and how.
        kind: `causal` for a language model, `reward` for a sequence classifier with one label.
        how: its weights are held.

    Raises:
        SalmonError: what is missing or wrong, and what to do.
    """
    tokenizer_source = own_tokenizer(spec)
    spec = named_base(spec)
    source = locate(spec, weights=True)
    device = pick_device(spec.device)
    if device.type == "cpu":
        heap.keep()
    how = how or How()
    dtype = _dtype(spec.dtype)
    options: dict[str, Any] = {
        "dtype": dtype,
        "trust_remote_code": spec.trust_remote_code,
        "use_safetensors": True,
        "output_loading_info": True,
    }
    compute = dtype if dtype != "auto" else torch.float32 if device.type == "cpu" else torch.bfloat16
    options |= how.arguments(device, compute)
    if kind == "reward" and spec.adapter is not None:
        options["num_labels"] = 1  # the base model is a language model; the adapter brings the head
    if kind == "reward" and spec.adapter is None:
        _check_config(spec, source)
    auto = AutoModelForCausalLM if kind == "causal" else AutoModelForSequenceClassification
    with readable(spec, "its weights"):
        with _no_bar():
            loaded: Any = auto.from_pretrained(source, **options)
        model, report = loaded
    missing = set(report["missing_keys"])
    if spec.adapter is not None:
        missing = {key for key in missing if not any(name in key for name in provided_heads(spec))}
    if missing:
        names = ", ".join(sorted(missing)[:4])
        what = "a language model" if kind == "causal" else "a reward model"
        raise SalmonError(
            f"is not {what}: no weights for {names}",
            where=spec.path,
            hint="name the folder that training wrote; untrained parts would give random results",
        )
    if tokenizer_source is not None:
        _grow(model, tokenizer_source, spec)
    if spec.adapter is not None:
        model = apply_adapter(model, spec, merge=how.quantization is None)
    return (model if "device_map" in options else model.to(device)).eval()


def _grow(model: Any, source: str, spec: ModelSpec) -> None:
    """Makes room for the tokens that an adapter's tokenizer has more than its base."""
    with readable(spec, "its tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    if tokenizer.pad_token_id is not None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one.

    Raises:
        SalmonError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SalmonError(f"unknown device {name!r}", hint="use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SalmonError(
            f"device {name!r} asked for, but torch sees {torch.cuda.device_count()} GPUs", hint="use `device: auto`"
        )
    return device


def _dtype(name: str) -> Any:
    if name not in _DTYPES:
        raise SalmonError(f"unknown dtype {name!r}", hint=f"use one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _check_config(spec: ModelSpec, source: str) -> None:
    with readable(spec, "its configuration"):
        config = AutoConfig.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
    check_labels(config, spec)
