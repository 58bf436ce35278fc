"""The last layer's feed-forward block, computed only where somebody looks.

Scores and choice logits are read at a few positions. Up to the last layer's attention every position matters to those
that follow; behind it, none does. So the block that comes then gets only the positions asked for. What it adds to all
others is left out, and nobody reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

#: what transformers' decoder layers call that block
_NAMES = ("mlp", "feed_forward", "ffn")


class LastBlock:
    """Hooks on the feed-forward block of a body's last layer; without `at`, they do nothing.

    Args:
        body: a transformers model without its head.

    Attributes:
        found: whether there is such a block.
    """

    def __init__(self, body: nn.Module):
        self._keep: torch.Tensor | None = None
        self._shape: torch.Size | None = None
        self._handles: list[Any] = []
        block = _last_block(body)
        self.found = block is not None
        if block is not None:
            self._handles = [block.register_forward_pre_hook(self._narrow), block.register_forward_hook(self._widen)]

    def remove(self) -> None:
        """Takes the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles, self.found = [], False

    @contextmanager
    def at(self, keep: torch.Tensor) -> Iterator[None]:
        """Forward passes in here compute the block at these positions [n] of each row."""
        self._keep = keep
        try:
            yield
        finally:
            self._keep = self._shape = None

    def _narrow(self, block: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._keep is None:
            return None
        hidden, *more = inputs
        self._shape = hidden.shape
        return (hidden[:, self._keep.to(hidden.device)], *more)

    def _widen(self, block: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
        if self._shape is None or self._keep is None:
            return None
        whole = output.new_zeros(self._shape)
        whole[:, self._keep.to(whole.device)] = output
        self._shape = None
        return whole


def _last_block(body: nn.Module) -> nn.Module | None:
    """The block of the last layer; None where the body is built in another way."""
    config: Any = body.config
    count = getattr(config.get_text_config(), "num_hidden_layers", None)
    stacks = [each for each in body.modules() if isinstance(each, nn.ModuleList) and len(each) == count]
    if len(stacks) != 1:
        return None
    children = dict(stacks[0][-1].named_children())
    blocks = [children[name] for name in _NAMES if name in children]
    return blocks[0] if len(blocks) == 1 else None
