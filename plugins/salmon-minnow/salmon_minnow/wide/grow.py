"""A policy grown out of a smaller one: wider, deeper, with more words, and with the same answers at first.

What is new is laid out so that it changes nothing before it is trained: units, heads and layers that read but do not
write yet, and hidden dimensions that nothing has been written to. (The idea of function-preserving growth is that of
Net2Net, arXiv 1511.05641.)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import LlamaForCausalLM

#: Parts of a layer that write to the hidden state, and those that read from it.
_WRITES = ("o_proj", "down_proj")


@torch.no_grad()
def grow(small: LlamaForCausalLM, old: Mapping[str, int], large: LlamaForCausalLM, new: Mapping[str, int]) -> None:
    """Fill a fresh model with a smaller one's weights, in place.

    Args:
        small: nowhere larger than `large`, with heads of the same size.
        old: token -> id, of `small`.
        new: token -> id, of `large`; tokens that `old` lacks keep their fresh embeddings.
    """
    fresh, known = large.state_dict(), small.state_dict()
    hidden, depth = small.config.hidden_size, small.config.num_hidden_layers
    scale = math.sqrt(hidden / large.config.hidden_size)  # a norm averages over hidden dimensions that hold nothing
    embeddings, old_embeddings = fresh["model.embed_tokens.weight"], known["model.embed_tokens.weight"]
    for token, place in new.items():
        if token in old:
            embeddings[place] = 0
            embeddings[place, :hidden] = old_embeddings[old[token]]
    for name, tensor in fresh.items():
        if "embed_tokens" in name or "lm_head" in name:
            continue
        parts = name.split(".")
        added = parts[1] == "layers" and int(parts[2]) >= depth
        if "norm" in name:
            tensor.fill_(scale)
            if not added:
                tensor[:hidden] = known[name] * scale
        elif any(part in name for part in _WRITES):
            tensor.zero_()
            if not added:
                tensor[: known[name].shape[0], : known[name].shape[1]] = known[name]
        elif not added:
            tensor[: known[name].shape[0], : known[name].shape[1]] = known[name]
