"""From a `ModelSpec` to a tokenizer and a model: safetensors only, remote code only where opted in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from salmon_core.errors import SalmonError
from salmon_core.interfaces import ModelSpec
from salmon_transformers.adapters import apply_adapter, provided_heads
from salmon_transformers.codec import TransformersCodec

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_DTYPES = {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


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


def open_codec(spec: ModelSpec) -> TransformersCodec:
    """The model's tokenizer, without its weights.

    Raises:
        SalmonError: no such model, no usable tokenizer, or remote code that was not opted in.
    """
    source = locate(named_base(spec))
    with _readable(spec, "its configuration"):
        config = AutoConfig.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
    with _readable(spec, "its tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            _own_tokenizer(spec) or source, trust_remote_code=spec.trust_remote_code
        )
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return TransformersCodec(
        tokenizer,
        name=spec.path,
        max_length=int(limit) if limit and limit > 0 else None,
        fallback_chat_template=spec.fallback_chat_template,
    )


def load_model(spec: ModelSpec, kind: Literal["causal", "reward"], attn_implementation: str | None = None) -> Any:
    """The model, in evaluation mode, on its device, its adapter merged.

    Args:
        spec: which, and how.
        kind: `causal` for a language model, `reward` for a sequence classifier with one label.
        attn_implementation: handed to transformers; None leaves the choice to it.

    Raises:
        SalmonError: what is missing or wrong, and what to do.
    """
    tokenizer_source = _own_tokenizer(spec)
    spec = named_base(spec)
    source = locate(spec, weights=True)
    device = pick_device(spec.device)
    options: dict[str, Any] = {
        "dtype": _dtype(spec.dtype),
        "trust_remote_code": spec.trust_remote_code,
        "use_safetensors": True,
        "output_loading_info": True,
    }
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    if kind == "reward" and spec.adapter is not None:
        options["num_labels"] = 1  # the base model is a language model; the adapter brings the head
    if kind == "reward" and spec.adapter is None:
        _check_one_label(spec, source)
    auto = AutoModelForCausalLM if kind == "causal" else AutoModelForSequenceClassification
    with _readable(spec, "its weights"):
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
        model = apply_adapter(model, spec)
    return model.to(device).eval()


def named_base(spec: ModelSpec) -> ModelSpec:
    """For a folder with an adapter alone, as training leaves it with `merge: false`: its base, with it on top.

    Raises:
        SalmonError: the adapter does not say what it belongs to.
    """
    folder = Path(spec.path).expanduser()
    if spec.adapter is not None or (folder / "config.json").is_file():
        return spec
    if not (folder / "adapter_config.json").is_file():
        return spec
    base = _json(folder / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise SalmonError(
            "is a PEFT adapter that names no base model",
            where=spec.path,
            hint="name the base model, and this as its `adapter`",
        )
    return replace(spec, path=base, adapter=str(folder))


def _own_tokenizer(spec: ModelSpec) -> str | None:
    """The folder of an adapter that brings a tokenizer, such as one with a pad token more."""
    folder = Path(spec.path).expanduser()
    if named_base(spec) is spec or not (folder / "tokenizer_config.json").is_file():
        return None
    _check_code(folder, spec)
    return str(folder)


def _grow(model: Any, source: str, spec: ModelSpec) -> None:
    """Makes room for the tokens that an adapter's tokenizer has more than its base."""
    with _readable(spec, "its tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    if tokenizer.pad_token_id is not None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def check_reward_model(model: Any, codec: TransformersCodec, spec: ModelSpec) -> None:
    """One label, and a pad token apart from EOS that model and tokenizer agree on.

    Raises:
        SalmonError: otherwise; scores would be read at the wrong position, silently.
    """
    if model.config.num_labels != 1:
        raise _labels_error(spec, model.config.num_labels)
    in_model, in_tokenizer = model.config.get_text_config().pad_token_id, codec.tokenizer.pad_token_id
    hint = "add a pad token to the tokenizer, resize the embeddings, set config.pad_token_id, train and save again"
    if in_model is None or in_tokenizer is None:
        lacking = "tokenizer" if in_tokenizer is None else "model's config"
        raise SalmonError(f"the {lacking} of this reward model has no pad token", where=spec.path, hint=hint)
    if in_model != in_tokenizer:
        raise SalmonError(
            f"the pad token is {in_model} in the model's config, but {in_tokenizer} in the tokenizer",
            where=spec.path,
            hint="save model and tokenizer with the same pad_token_id",
        )
    if in_model == codec.eos_id:
        raise SalmonError(
            "the pad token of this reward model is its EOS token, so the wrong position would be scored",
            where=spec.path,
            hint=hint,
        )


def locate(spec: ModelSpec, *, weights: bool = False) -> str:
    """Checks the model's folder before transformers sees it; a hub id passes. -> what to load from.

    Raises:
        SalmonError: neither a folder nor a hub id; remote code; no safetensors.
    """
    folder = Path(spec.path).expanduser()
    if not folder.exists():
        if _HUB_ID.fullmatch(spec.path):
            return spec.path
        raise SalmonError(
            "no such model folder", where=spec.path, hint="give an existing folder, or a hub id like owner/name"
        )
    if not folder.is_dir():
        raise SalmonError("is a file, not a model folder", where=spec.path)
    config = folder / "config.json"
    if not config.is_file():
        if (folder / "adapter_config.json").is_file():
            raise SalmonError(
                "is a PEFT adapter, not a model", where=spec.path, hint="name the base model, and this as its `adapter`"
            )
        raise SalmonError("has no config.json, so it is no model folder", where=spec.path)
    _check_code(folder, spec)
    if weights and not any(folder.glob("*.safetensors")):
        pickled = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        if pickled:
            raise SalmonError(
                f"has pickled weights only ({pickled[0]}); loading those can run any code",
                where=spec.path,
                hint="convert them with `save_pretrained`, which writes safetensors, in a place you trust",
            )
        raise SalmonError("has no weights (*.safetensors)", where=spec.path)
    return str(folder)


def _check_code(folder: Path, spec: ModelSpec) -> None:
    for name in ("config.json", "tokenizer_config.json"):
        if not spec.trust_remote_code and "auto_map" in _json(folder / name):
            raise SalmonError(
                f"wants to run code that it brings along (`auto_map` in {name})",
                where=spec.path,
                hint="read that code, then set `trust_remote_code: true` on this model if you trust it",
            )


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


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SalmonError(f"is not JSON: {error}", where=str(path)) from error
    return values if isinstance(values, dict) else {}


def _check_one_label(spec: ModelSpec, source: str) -> None:
    """Before the weights, since a wrong number of labels makes for an obscure error while loading."""
    with _readable(spec, "its configuration"):
        config = AutoConfig.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
    architectures = config.architectures or []
    if not any("SequenceClassification" in name or "Reward" in name for name in architectures):
        raise SalmonError(
            f"is not a reward model but {', '.join(architectures) or 'of unknown architecture'}",
            where=spec.path,
            hint="a reward model is a sequence classifier with one label, as the stage train-rm writes it",
        )
    if config.num_labels != 1:
        raise _labels_error(spec, config.num_labels)


def _labels_error(spec: ModelSpec, labels: int) -> SalmonError:
    return SalmonError(
        f"has {labels} labels; a reward model has exactly one",
        where=spec.path,
        hint="train the classifier with num_labels=1",
    )


@contextmanager
def _readable(spec: ModelSpec, what: str) -> Iterator[None]:
    """Whatever transformers or the hub raise leaves as one error of one line."""
    try:
        yield
    except SalmonError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        hint = None if Path(spec.path).expanduser().exists() else "check the hub id, the network, and access rights"
        raise SalmonError(
            f"cannot load {what}: {lines[0] if lines else type(error).__name__}", where=spec.path, hint=hint
        ) from error
