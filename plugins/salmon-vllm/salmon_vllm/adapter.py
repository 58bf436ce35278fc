"""Adapters that vLLM can put on a model: LoRA, of a folder, and nothing else in it."""

from __future__ import annotations

import json
from pathlib import Path

from salmon_core.api import Ability, ModelSpec
from salmon_core.errors import SalmonError
from salmon_core.kit.hf_files import locate_adapter

#: ranks that vLLM takes as the highest
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
_HINT = "merge it into its model, or use the engine transformers"


def adapter_rank(spec: ModelSpec, ability: Ability) -> int:
    """The highest rank that vLLM has to make room for.

    Raises:
        SalmonError: vLLM cannot use the adapter.
    """
    locate_adapter(spec)
    where, folder = f"adapter {spec.adapter}", Path(str(spec.adapter)).expanduser()
    if ability == "scorer":
        raise SalmonError("vLLM puts no adapter on a reward model, whose head it would bring", where=where, hint=_HINT)
    if not folder.is_dir():
        raise SalmonError("vLLM takes adapters from folders only", where=where, hint="download it, and name its folder")
    if not (folder / "adapter_model.safetensors").is_file():
        raise SalmonError("has no adapter_model.safetensors", where=where, hint="save it again with `save_pretrained`")
    try:
        values = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        kind, bias = values["peft_type"], values.get("bias") or "none"
        ranks = [int(values["r"]), *map(int, (values.get("rank_pattern") or {}).values())]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SalmonError(f"cannot read its adapter_config.json: {error!r}", where=where) from None
    refusals = {
        f"is of type {kind}, and vLLM knows LORA only": kind != "LORA",
        f"brings whole layers along ({', '.join(values.get('modules_to_save') or ())})": values.get("modules_to_save"),
        "brings biases along": bias != "none",
        "is DoRA, which vLLM does not know": values.get("use_dora"),
        "has scales for single layers (alpha_pattern), which vLLM would leave out": values.get("alpha_pattern"),
        "has ranks for single layers (rank_pattern), whose scales vLLM would get wrong": values.get("rank_pattern"),
        f"has rank {max(ranks)}, which is over vLLM's {_RANKS[-1]}": max(ranks) > _RANKS[-1],
    }
    for message, wrong in refusals.items():
        if wrong:
            raise SalmonError(message, where=where, hint=_HINT)
    return next(rank for rank in _RANKS if rank >= max(ranks))
