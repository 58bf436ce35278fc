"""Choosing tokens with noise that is a function of (seed, prompt id, sample, position)."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def uniforms(seed: int, prompt_id: str, sample: int, length: int) -> np.ndarray:
    """One number in [0, 1) per position, float64 [length]; a longer sequence begins with the shorter one."""
    digest = hashlib.sha256(f"{seed}\0{prompt_id}\0{sample}".encode("utf-8", "surrogatepass")).digest()
    key = int.from_bytes(digest[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).random(length)


def choose(logits: torch.Tensor, noise: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """Samples by the inverse of the cumulative distribution.

    Args:
        logits: float [rows, vocabulary].
        noise: float64 [rows], in [0, 1).
        temperature: 0 takes the most likely token.
        top_p: the smallest set of most likely tokens that holds this much probability (nucleus sampling,
            arXiv 1904.09751); 1 takes all.

    Returns:
        int64 [rows].
    """
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, dim=-1).double()
    tokens = None
    if top_p < 1:
        probabilities, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        # A token belongs to the nucleus unless those before it already hold top_p.
        probabilities[probabilities.cumsum(-1) - probabilities >= top_p] = 0
    cumulative = probabilities.cumsum(-1)
    total = cumulative[:, -1]
    # u * total may round up to total, which no token's interval contains.
    target = torch.minimum(noise * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(cumulative, target[:, None], right=True)
    return index[:, 0] if tokens is None else tokens.gather(-1, index)[:, 0]
