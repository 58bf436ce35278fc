"""PEFT adapters: put on a model and merged, so that inference sees one plain model."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from salmon_core.api import ModelSpec
from salmon_core.errors import SalmonError


def provided_heads(spec: ModelSpec) -> tuple[str, ...]:
    """Module names that the adapter brings in full (`modules_to_save`), such as a reward model's `score`."""
    peft = _peft(spec)
    return tuple(peft.PeftConfig.from_pretrained(_folder(spec)).modules_to_save or ()) if spec.adapter else ()


def apply_adapter(model: Any, spec: ModelSpec, *, merge: bool = True) -> Any:
    """The model with the adapter merged into it; left beside it where it cannot be merged.

    Args:
        merge: False leaves it beside: merged into rounded weights, it would be rounded too.

    Raises:
        SalmonError: PEFT is not installed, no such adapter, or one that only works inside PEFT (prompt tuning).
    """
    peft = _peft(spec)
    where = f"adapter {spec.adapter}"
    try:
        wrapped = peft.PeftModel.from_pretrained(model, _folder(spec), is_trainable=False)
    except SalmonError:
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise SalmonError(f"does not fit {spec.path}: {first}", where=where) from error
    if wrapped.active_peft_config.is_prompt_learning:
        raise SalmonError(
            "prompt and prefix tuning change the input, not the weights, and are not supported",
            where=where,
            hint="train a LoRA adapter instead",
        )
    if not merge:
        return wrapped.get_base_model()
    try:
        return wrapped.merge_and_unload()
    except Exception as error:  # PEFT has no common class for "cannot be merged"
        logging.getLogger("salmon").warning("%s is used unmerged, which is slower: %s", where, error)
        return wrapped.get_base_model()


def _peft(spec: ModelSpec) -> Any:
    try:
        import peft
    except ImportError as error:
        raise SalmonError(
            f"the adapter {spec.adapter} needs PEFT", hint="pip install 'salmon-transformers[adapters]'"
        ) from error
    return peft


@lru_cache(maxsize=8)
def _fetch(name: str) -> str:
    from huggingface_hub import snapshot_download

    # PEFT would fall back to a pickle; what is not downloaded cannot be loaded.
    return snapshot_download(name, allow_patterns=["*.json", "*.safetensors"])


def _folder(spec: ModelSpec) -> str:
    """-> the adapter's folder, with a configuration and safetensors in it."""
    where = f"adapter {spec.adapter}"
    folder = Path(str(spec.adapter)).expanduser()
    if not folder.exists():
        if folder.is_absolute() or len(folder.parts) != 2:
            raise SalmonError("no such folder", where=where, hint="give an existing folder, or a hub id owner/name")
        try:
            folder = Path(_fetch(str(spec.adapter)))
        except Exception as error:
            first = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise SalmonError(
                f"cannot fetch it: {first}", where=where, hint="check the hub id, the network, and access rights"
            ) from error
    if not (folder / "adapter_config.json").is_file():
        raise SalmonError("has no adapter_config.json", where=where)
    if not (folder / "adapter_model.safetensors").is_file():
        raise SalmonError(
            "has no adapter_model.safetensors; pickled weights are not loaded",
            where=where,
            hint="save the adapter again with `save_pretrained`",
        )
    return str(folder)
