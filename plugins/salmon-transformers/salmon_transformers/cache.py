"""A key/value cache with room to grow, from which rows leave and which others join."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

#: positions that a layer's tensors are longer than what they hold, so that they are copied once in so many steps
_ROOM = 64


class _Layer(DynamicLayer):
    """One layer's keys and values, [rows, heads, positions, size] each, at the beginning of tensors with more room.

    transformers' own layer makes new tensors at every step, which copies all it has.

    Args:
        room: positions that its tensors are longer than what they hold when they are made.
    """

    _whole: tuple[torch.Tensor, torch.Tensor]

    def __init__(self, room: int = _ROOM):
        super().__init__()
        self._room = room

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends keys and values [rows, heads, new, size]; -> all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, new = self.get_seq_length(), key_states.shape[-2]
        if start == 0 or start + new > self._whole[0].shape[-2]:
            self._move(len(key_states), start + new, (key_states, value_states))
        self._show(start + new)
        assert self.keys is not None
        assert self.values is not None
        self.keys[:, :, start:], self.values[:, :, start:] = key_states, value_states
        return self.keys, self.values

    def select(self, index: torch.Tensor, left: int) -> None:
        """Keeps these rows [n], without the first `left` positions."""
        assert self.keys is not None
        assert self.values is not None
        parts = self.keys[:, :, left:], self.values[:, :, left:]
        width = parts[0].shape[-2]
        self._whole = self._empty(len(index), width, parts)
        for whole, part in zip(self._whole, parts, strict=True):
            whole[:, :, :width] = part.index_select(0, index.to(part.device))
        self._show(width)

    def branch(self, index: torch.Tensor, room: int) -> _Layer:
        """Another layer that begins with these rows [n] of this one, and grows on its own."""
        other = _Layer(room)
        if self.is_initialized:
            assert self.keys is not None
            assert self.values is not None
            other.lazy_initialization(self.keys, self.values)
            other.keys, other.values, other._whole = self.keys, self.values, self._whole
            other.select(index, 0)
        return other

    def rewind(self, width: int) -> None:
        """Forgets what came behind the first `width` positions; its place is written anew."""
        if self.is_initialized:
            self._show(width)

    def join(self, other: _Layer) -> None:
        """Puts another layer's rows behind its own; the shorter ones begin with zeros, for a mask to hide."""
        assert self.keys is not None
        assert self.values is not None
        assert other.keys is not None
        assert other.values is not None
        rows, width = len(self.keys), max(self.get_seq_length(), other.get_seq_length())
        own, others = (self.keys, self.values), (other.keys, other.values)
        self._whole = self._empty(rows + len(other.keys), width, own)
        for whole, above, below in zip(self._whole, own, others, strict=True):
            for place, part in ((whole[:rows], above), (whole[rows:], below)):
                gap = width - part.shape[-2]
                place[:, :, :gap] = 0  # what is hidden still has to be a number
                place[:, :, gap:width] = part
        self._show(width)

    def _move(self, rows: int, width: int, like: tuple[torch.Tensor, torch.Tensor]) -> None:
        held = self.get_seq_length()
        before = self.keys, self.values
        self._whole = self._empty(rows, width, like)
        if held:
            for whole, part in zip(self._whole, before, strict=True):
                whole[:, :, :held] = part

    def _show(self, width: int) -> None:
        keys, values = self._whole
        self.keys, self.values = keys[:, :, :width], values[:, :, :width]

    def _empty(self, rows: int, width: int, like: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = (part.new_empty((rows, part.shape[1], width + self._room, part.shape[3])) for part in like)
        return keys, values


class PrefixCache:
    """The cache of beginnings that several texts share. All layers keep all keys and values, whatever the model.

    Args:
        room: positions that will come behind what is put in first.

    Attributes:
        inner: what the model is given as `past_key_values`.
    """

    def __init__(self, room: int):
        self.inner = DynamicCache()
        self.inner.layer_class_to_replicate = partial(_Layer, room)  # type: ignore[assignment]

    @property
    def width(self) -> int:
        """Positions that it holds."""
        return int(self.inner.get_seq_length())

    def branch(self, index: torch.Tensor, room: int) -> PrefixCache:
        """A copy of these rows [n], with room for what comes behind them; a row may be named more than once."""
        other = PrefixCache(room)
        other.inner.layers = [layer.branch(index, room) for layer in self.inner.layers]  # type: ignore[attr-defined]
        return other

    def rewind(self, width: int) -> None:
        """Forgets what came behind the first `width` positions."""
        for layer in self.inner.layers:
            layer.rewind(width)  # type: ignore[attr-defined]


class Cache:
    """The cache of a batch that is being sampled.

    Args:
        config: the model's.

    Attributes:
        inner: what the model is given as `past_key_values`.
        joins: whether others can join: not where a layer keeps something else than all keys and values.
    """

    def __init__(self, config: Any):
        self.inner = DynamicCache(config=config)
        self.joins = bool(self.inner.layers) and all(type(layer) is DynamicLayer for layer in self.inner.layers)
        if self.joins:
            self.inner.layers = [_Layer() for _ in self.inner.layers]

    def select(self, index: torch.Tensor, left: int = 0) -> None:
        """Keeps these rows [n], where others can join without the first `left` positions.

        A row may be named more than once.
        """
        if not self.joins:
            self.inner.reorder_cache(index)  # type: ignore[arg-type]
            return
        for layer in self.inner.layers:
            if layer.is_initialized:  # layers that share another's keys and values have none
                layer.select(index, left)  # type: ignore[attr-defined]

    def join(self, other: Cache) -> None:
        """Puts another's rows behind its own, all of them ending at the same position."""
        for layer, more in zip(self.inner.layers, other.inner.layers, strict=True):
            if layer.is_initialized:
                layer.join(more)  # type: ignore[attr-defined]
