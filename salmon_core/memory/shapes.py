"""The sizes of a model, from its `config.json` and the header of its weights; no weight is read, and no torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from salmon_core.errors import SalmonError

#: architectures whose feed-forward block has two matrices; all newer ones have three, one of them a gate
_PLAIN = frozenset(
    [
        "bloom",
        "codegen",
        "falcon",
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "gpt_neox",
        "gptj",
        "mpt",
        "opt",
        "phi",
        "starcoder2",
        "gpt_neox_japanese",
        "xglm",
    ]
)
_TIED = frozenset(
    [
        "gpt2",
        "gpt_bigcode",
        "gpt_neo",
        "bloom",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3",
        "gemma3_text",
        "opt",
        "mpt",
        "xglm",
    ]
)
#: a key of ours -> keys of config.json, the first that is there counts
_KEYS: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "head_size": ("head_dim",),
    "inner": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "vocabulary": ("vocab_size",),
    "positions": ("n_positions",),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "active": ("num_experts_per_tok",),
    "expert_inner": ("moe_intermediate_size",),
}
_SAVED = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder-only transformer.

    Attributes:
        hidden: numbers of a token between blocks.
        head_size: numbers of one attention head.
        inner: numbers of a token inside a feed-forward block; of one expert where there are experts.
        experts: feed-forward blocks of a layer, of which a token goes through `active`.
        gated: whether such a block has three matrices, not two.
        tied: whether input and output embedding are one.
        other: parameters that are neither in linear layers of blocks nor in embeddings: norms, biases, positions.
        dtype: of the saved weights.
        linear: (inputs, outputs) of the linear layers of one block, by name.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    vocabulary: int
    tied: bool = False
    gated: bool = True
    experts: int = 1
    active: int = 1
    other: int = 0
    dtype: str = "float32"

    @property
    def queries(self) -> int:
        """Numbers of a token's queries, all heads together."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """Numbers of a token's keys, and of its values."""
        return self.kv_heads * self.head_size

    @property
    def linear(self) -> Mapping[str, tuple[int, int]]:
        """(inputs, outputs) of one block's linear layers, by the names that most architectures give them."""
        found = {
            "q_proj": (self.hidden, self.queries),
            "k_proj": (self.hidden, self.keys),
            "v_proj": (self.hidden, self.keys),
            "o_proj": (self.queries, self.hidden),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }
        return {**found, "gate_proj": (self.hidden, self.inner)} if self.gated else found

    def copies(self, name: str) -> int:
        """How many layers of a block have that name: as many as there are experts, in its feed-forward part."""
        return 1 if name[:2] in ("q_", "k_", "v_", "o_") else self.experts

    @property
    def blocks(self) -> int:
        """Parameters of all blocks' linear layers."""
        return self.layers * sum(a * b * self.copies(name) for name, (a, b) in self.linear.items())

    @property
    def embedding(self) -> int:
        """Parameters of one embedding."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Of the whole language model."""
        return self.blocks + self.embedding * (1 if self.tied else 2) + self.other


def shape_of(config: Mapping[str, Any], where: str) -> Shape:
    """Sizes by a `config.json`.

    Raises:
        SalmonError: it is not that of a decoder-only transformer.
    """
    text = config.get("text_config")
    values = {**config, **text} if isinstance(text, dict) else dict(config)
    found: dict[str, Any] = {
        key: next((values[name] for name in names if values.get(name)), None) for key, names in _KEYS.items()
    }
    lacking = [_KEYS[key][0] for key in ("layers", "hidden", "heads", "vocabulary") if not isinstance(found[key], int)]
    if lacking:
        raise SalmonError(f"its config.json has no {', '.join(lacking)}", where=where)
    kind = str(values.get("model_type", ""))
    hidden, layers, heads = int(found["hidden"]), int(found["layers"]), int(found["heads"])
    size = int(found["head_size"] or hidden // heads)
    kv = 1 if values.get("multi_query") is True else int(found["kv_heads"] or heads)
    biased = hidden * 9 if kind in _PLAIN else 0
    if values.get("attention_bias") or kind in ("qwen2", "qwen2_moe"):
        biased += heads * size + 2 * kv * size
    norms = hidden * (2 * layers + 1) * (2 if kind in _PLAIN else 1)
    inner = found["expert_inner"] or found["inner"] or 4 * hidden
    experts = int(found["experts"] or 1)
    router = hidden * experts * layers if experts > 1 else 0
    dtype = values.get("dtype") or values.get("torch_dtype") or "float32"
    return Shape(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv,
        head_size=size,
        inner=int(inner),
        vocabulary=int(found["vocabulary"]),
        tied=bool(values.get("tie_word_embeddings", kind in _TIED)),
        gated=kind not in _PLAIN,
        experts=experts,
        active=int(found["active"] or 1) if experts > 1 else 1,
        other=norms + biased * layers + router + hidden * int(found["positions"] or 0),
        dtype=str(dtype).removeprefix("torch."),
    )


def read_shape(folder: Path) -> Shape:
    """Sizes of a model's folder: by its configuration, and all parameters by the header of its weights, if it has some.

    Raises:
        SalmonError: no such file, or not that of a decoder-only transformer.
    """
    path = folder / "config.json" if folder.is_dir() else folder
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SalmonError(f"its config.json cannot be read: {error}", where=str(folder)) from error
    if not isinstance(config, dict):
        raise SalmonError("its config.json is no JSON object", where=str(folder))
    shape = shape_of(config, str(folder))
    return _counted(shape, folder) if folder.is_dir() else shape


def _counted(shape: Shape, folder: Path) -> Shape:
    """The same, with what the weights' headers say of parameters and their type."""
    numbers: dict[str, int] = {}
    heads = total = 0
    for file in sorted(folder.glob("*.safetensors")):
        for name, (kind, count) in _header(file):
            if kind not in _SAVED:
                return shape  # quantised, or of a kind whose numbers are not parameters
            numbers[kind] = numbers.get(kind, 0) + count
            total += count
            heads += count if "score" in name or "lm_head" in name else 0
    if not total:
        return shape
    body = total - heads
    other = body - shape.blocks - shape.embedding
    known = replace(shape, dtype=_SAVED[max(numbers, key=lambda kind: numbers[kind])])
    return replace(known, other=other) if other >= 0 else known


def _header(file: Path) -> Iterator[tuple[str, tuple[str, int]]]:
    """(name, (type, numbers)) of every tensor of a safetensors file."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > 100_000_000:
                return
            header = json.loads(stream.read(length))
    except (OSError, ValueError, struct.error):
        return
    for name, entry in header.items():
        if name != "__metadata__":
            yield name, (str(entry["dtype"]), prod(entry["shape"]))
