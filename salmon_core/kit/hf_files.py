"""Model folders as Hugging Face lays them out, checked before anything loads them; for every engine that does.

Nothing here imports torch or transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from salmon_core.api.models import ModelSpec
from salmon_core.errors import SalmonError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


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
    check_code(folder, spec)
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


def locate_adapter(spec: ModelSpec) -> None:
    """Checks an adapter's folder before PEFT sees it; a hub id passes.

    Raises:
        SalmonError: neither a folder with an adapter nor a hub id.
    """
    if spec.adapter is None:
        return
    folder = Path(spec.adapter).expanduser()
    if not folder.exists():
        if not _HUB_ID.fullmatch(spec.adapter):
            raise SalmonError("no such adapter folder", where=spec.adapter)
    elif not (folder / "adapter_config.json").is_file():
        raise SalmonError("has no adapter_config.json, so it is no PEFT adapter", where=spec.adapter)
    elif not any(folder.glob("*.safetensors")):
        raise SalmonError("has no weights (*.safetensors)", where=spec.adapter)


def own_tokenizer(spec: ModelSpec) -> str | None:
    """The folder of an adapter that brings a tokenizer, such as one with a pad token more."""
    folder = Path(spec.path).expanduser()
    if named_base(spec) is spec or not (folder / "tokenizer_config.json").is_file():
        return None
    check_code(folder, spec)
    return str(folder)


def check_labels(config: Any, spec: ModelSpec) -> None:
    """Whether a configuration is that of a reward model.

    To be called before the weights are read: a wrong number of labels makes for an obscure error while loading.

    Args:
        config: transformers' configuration object.

    Raises:
        SalmonError: no sequence classifier, or not one label.
    """
    architectures = config.architectures or []
    if not any("SequenceClassification" in name or "Reward" in name for name in architectures):
        raise SalmonError(
            f"is not a reward model but {', '.join(architectures) or 'of unknown architecture'}",
            where=spec.path,
            hint="a reward model is a sequence classifier with one label, as the stage train-rm writes it",
        )
    if config.num_labels != 1:
        raise SalmonError(
            f"has {config.num_labels} labels; a reward model has exactly one",
            where=spec.path,
            hint="train the classifier with num_labels=1",
        )


def check_padding(config: Any, tokenizer: Any, spec: ModelSpec) -> None:
    """Whether a reward model has a pad token apart from EOS, on which model and tokenizer agree.

    Args:
        config: transformers' configuration object of the model.
        tokenizer: transformers' tokenizer.

    Raises:
        SalmonError: otherwise; scores would be read at the wrong position, silently.
    """
    in_model, in_tokenizer = config.get_text_config().pad_token_id, tokenizer.pad_token_id
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
    if in_model == tokenizer.eos_token_id:
        raise SalmonError(
            "the pad token of this reward model is its EOS token, so the wrong position would be scored",
            where=spec.path,
            hint=hint,
        )


def check_code(folder: Path, spec: ModelSpec) -> None:
    """Whether a folder wants to run code of its own without being allowed to.

    Raises:
        SalmonError: it does.
    """
    for name in ("config.json", "tokenizer_config.json"):
        if not spec.trust_remote_code and "auto_map" in _json(folder / name):
            raise SalmonError(
                f"wants to run code that it brings along (`auto_map` in {name})",
                where=spec.path,
                hint="read that code, then set `trust_remote_code: true` on this model if you trust it",
            )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SalmonError(f"is not JSON: {error}", where=str(path)) from error
    return values if isinstance(values, dict) else {}


@contextmanager
def readable(spec: ModelSpec, what: str) -> Iterator[None]:
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
