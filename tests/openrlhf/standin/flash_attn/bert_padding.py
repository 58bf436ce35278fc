"""Between padded batches and rows laid end to end."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange

__all__ = ["index_first_axis", "pad_input", "rearrange", "unpad_input"]


def index_first_axis(rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    return rows[places]


def unpad_input(states: torch.Tensor, mask: torch.Tensor, unused: torch.Tensor | None = None) -> tuple[Any, ...]:
    """-> rows of real tokens, their places, cumulative lengths, the longest, lengths without the unused."""
    every = mask if unused is None else mask + unused
    lengths = every.sum(dim=-1, dtype=torch.int32)
    places = every.flatten().nonzero().flatten()
    cumulative = torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
    return states.flatten(0, 1)[places], places, cumulative, int(lengths.max()), mask.sum(dim=-1, dtype=torch.int32)


def pad_input(rows: torch.Tensor, places: torch.Tensor, batch: int, length: int) -> torch.Tensor:
    padded = rows.new_zeros((batch * length, *rows.shape[1:]))
    padded[places] = rows
    return padded.unflatten(0, (batch, length))
