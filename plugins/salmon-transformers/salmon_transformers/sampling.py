"""Choosing tokens with noise that is a function of (seed, prompt id, sample, position), and noticing stop strings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from salmon_core.kit.hf import HFCodec


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


class StopStrings:
    """Finds the first stop string in what is being generated, token by token.

    Args:
        stop: strings; empty ones are ignored.
        codec: special tokens may be part of a stop string, so texts are decoded with them.
    """

    def __init__(self, stop: Sequence[str], codec: HFCodec):
        self._stop = tuple(dict.fromkeys(text for text in stop if text))
        self._codec = codec
        # A token holds at least one byte; a few more, because some tokenizers drop a leading space.
        self._window = max((len(text.encode("utf-8", "surrogatepass")) for text in self._stop), default=0) + 4

    def __bool__(self) -> bool:
        return bool(self._stop)

    def hit(self, ids: Sequence[int]) -> bool:
        """Whether the text of all these ids has a stop string; looks at the end only, so ask after every token."""
        return self._first(self._codec.decode(ids[-self._window :])) >= 0

    def text(self, ids: Sequence[int]) -> str:
        """The text up to the first stop string, special tokens stripped."""
        text = self._codec.decode(ids, skip_special=True)
        if (at := self._first(text)) >= 0:
            return text[:at]
        # The stop string holds a special token: cut with them in sight, then strip them.
        text = self._codec.decode(ids)
        if (at := self._first(text)) >= 0:
            text = text[:at]
        for special in self._codec.special_tokens:
            text = text.replace(special, "")
        return text

    def _first(self, text: str) -> int:
        return min((at for stop in self._stop if (at := text.find(stop)) >= 0), default=-1)
