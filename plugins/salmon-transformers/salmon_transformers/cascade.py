"""Attention of texts that follow one beginning, in two parts: over the beginning, and over what is each text's own.

A mask over a packed sequence makes attention compute what it then hides: every text's product with every other text.
Here the beginning is attended to by all of a row's tokens at once, which needs no mask; what is a text's own is
attended to causally, all texts as one batch; and the two are weighed by their softmax's denominators. That is exact:
with o1 and o2 the outputs of the parts, l1 and l2 the logarithms of their denominators, the whole is
o2 + sigmoid(l1 - l2) (o1 - o2). Known as cascade attention, and as the merge step of FlashAttention (arXiv 2205.14135).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from salmon_transformers.layout import Layout

NAME = "salmon_cascade"


@dataclass(frozen=True)
class _Parts:
    """One pass.

    Attributes:
        hidden: additive [rows, 1, 1, positions before], or None where all of them are seen.
        before: positions of the beginnings.
        owned: int [texts, longest]: places of a text's tokens in the rows laid end to end, filled up with any; None
            where each row is one text of the whole width.
        back: int [rows, width]: of each place, its token's number in `owned`.
    """

    hidden: torch.Tensor | None
    before: int
    owned: torch.Tensor | None
    back: torch.Tensor | None


_PARTS: ContextVar[_Parts | None] = ContextVar("_PARTS", default=None)


def can_cascade(body: Any) -> bool:
    """Whether this model's attention can be replaced, and torch offers an attention that tells its denominators."""
    config = body.config.get_text_config()
    return (
        body.device.type == "cpu"
        and body.config._attn_implementation == config._attn_implementation == "sdpa"
        and hasattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu")
    )


def attach(body: Any) -> None:
    """From now on the model's passes within `parts` are computed so; all others as before."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    body.set_attn_implementation(NAME)


def detach(body: Any) -> None:
    """Gives the model back its own attention."""
    body.set_attn_implementation("sdpa")


@contextmanager
def parts(layout: Layout, there: torch.Tensor, dtype: torch.dtype) -> Iterator[None]:
    """Within, a pass is over packed texts behind beginnings.

    Args:
        layout: where the texts are.
        there: bool [rows, positions], false where the beginnings are padding.
        dtype: of the model.
    """
    hidden = None
    if not bool(there.all()):
        hidden = torch.zeros(there.shape, dtype=dtype).masked_fill_(~there, torch.finfo(dtype).min)[:, None, None]
    token = _PARTS.set(_Parts(hidden, there.shape[1], *layout.texts))
    try:
        yield
    finally:
        _PARTS.reset(token)


def _flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None, **how: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """-> outputs [rows, width, heads, size]; logarithms of the denominators [rows, width, heads]."""
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    output, denominator = attend(query, key, value, 0.0, scale=scale, **how)
    return output.transpose(1, 2), denominator.transpose(1, 2)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers' `sdpa_attention_forward`: query [rows, heads, width, size]. -> [rows, width, heads, size]"""
    found = _PARTS.get()
    if found is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
        )
    rows, heads, width, size = query.shape
    groups = heads // key.shape[1]
    # Heads that share keys are one head with so many times the queries: no key is copied.
    first = query.reshape(rows, key.shape[1], groups * width, size)
    before, weights = _flash(
        first, key[:, :, : found.before], value[:, :, : found.before], scaling, attn_mask=found.hidden
    )
    if groups > 1:
        before = before.reshape(rows, groups, width, key.shape[1], -1).permute(0, 2, 3, 1, 4).flatten(2, 3)
        weights = weights.reshape(rows, groups, width, key.shape[1]).permute(0, 2, 3, 1).flatten(2, 3)
    queries, keys, values = (
        _own(each, found).repeat_interleave(heads // each.shape[1], dim=1)
        for each in (query, key[:, :, found.before :], value[:, :, found.before :])
    )
    own, denominators = _flash(queries, keys, values, scaling, is_causal=True)
    if found.back is not None:
        place = found.back.flatten()
        own = own.reshape(-1, heads, own.shape[-1]).index_select(0, place).view(rows, width, heads, -1)
        denominators = denominators.reshape(-1, heads).index_select(0, place).view(rows, width, heads)
    share = torch.sigmoid(weights - denominators)[..., None].to(own.dtype)
    return torch.lerp(own, before, share), None


def _own(states: torch.Tensor, found: _Parts) -> torch.Tensor:
    """[rows, heads, width, size] -> [texts, heads, longest, size]"""
    if found.owned is None:
        return states
    flat = states.transpose(1, 2).flatten(0, 1).index_select(0, found.owned.flatten())
    return flat.view(*found.owned.shape, *flat.shape[1:]).transpose(1, 2)
