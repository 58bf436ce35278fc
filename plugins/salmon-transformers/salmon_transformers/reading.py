"""Features of a model at the last token of many texts, their shared beginnings encoded once.

A request is a prefix with several suffixes. The prefix goes through the model a single time; then its suffixes follow
in ONE sequence behind the prefix's key/value cache. A 4D mask lets each suffix see the prefix and itself only, and
its positions restart where the prefix ends, so the model computes what it would compute for each text alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from salmon_core.calls import part

#: padding tolerated in a batch, as a share of its real tokens
WASTE = 0.1

Ids = Sequence[int]


class Read(Protocol):
    """One forward pass. -> features [rows, len(keep), F] at the positions `keep` of each row."""

    def __call__(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """A prefix and its suffixes, as ids; none of them empty."""

    prefix: Ids
    suffixes: tuple[Ids, ...]

    @property
    def packed(self) -> int:
        return sum(map(len, self.suffixes))


@dataclass(frozen=True)
class Reader:
    """Runs texts through a model in batches.

    Attributes:
        read: the forward pass.
        device: of the model.
        dtype: of the model, for additive masks.
        pad_id: fills up batches; always masked.
        budget: tokens in one batch.
        pack: suffix tokens in one packed sequence. Attention computes what the mask then hides, so a CPU wants short
            ones, while a GPU wants few passes.
    """

    read: Read
    device: torch.device
    dtype: torch.dtype
    pad_id: int
    budget: int
    pack: int

    def plain(self, texts: Sequence[Ids], finish: Callable[[list[int], torch.Tensor], None]) -> None:
        """Right-padded batches, by length.

        Args:
            texts: ids; none empty.
            finish: receives indices into `texts` and their features [n, F], batch by batch.
        """
        done = 0
        for rows in _batches([len(text) for text in texts], self.budget):
            chosen = [texts[row] for row in rows]
            ids, mask = self._padded(chosen)
            last = torch.tensor([len(text) - 1 for text in chosen], device=self.device)
            keep, where = torch.unique(last, return_inverse=True)
            features = self.read(keep, input_ids=ids, attention_mask=mask, use_cache=False)
            finish(rows, features[torch.arange(len(rows), device=self.device), where])
            done += len(rows)
            part(done / len(texts))

    def shared(self, requests: Sequence[Shared], finish: Callable[[list[tuple[int, int]], torch.Tensor], None]) -> None:
        """Prefixes once, suffixes packed.

        Args:
            requests: each with at least one suffix.
            finish: receives (request, suffix) indices and their features [n, F], batch by batch.
        """
        # Alike requests come together, so that batches need no padding: both orders of a judged pair, above all.
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prefix), requests[i].packed))
        sizes = [len(requests[i].prefix) + requests[i].packed for i in order]
        # Suffixes that take several packs are cut at the same places in all requests of a batch.
        kinds = [tuple(map(len, requests[i].suffixes)) if requests[i].packed > self.pack else () for i in order]
        done = 0
        for batch in _batches(sizes, self.budget, kinds=kinds, presorted=True):
            rows = [order[i] for i in batch]
            self.shared_batch(rows, [requests[row] for row in rows], finish)
            done += len(rows)
            part(done / len(requests))

    def shared_batch(
        self,
        rows: Sequence[int],
        requests: Sequence[Shared],
        finish: Callable[[list[tuple[int, int]], torch.Tensor], None],
    ) -> None:
        """`shared` for requests that fit in one batch; `rows` are the numbers by which `finish` knows them."""
        ids, mask = self._padded([request.prefix for request in requests])
        lengths = torch.tensor([len(request.prefix) for request in requests], device=self.device)
        cache = DynamicCache()  # without the config: every layer keeps all of the prefix
        nothing = torch.zeros(1, dtype=torch.long, device=self.device)
        self.read(nothing, input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
        several = max(request.packed for request in requests) > self.pack
        widest = range(max(len(request.suffixes) for request in requests))
        for group in _groups(requests[0].suffixes, self.pack) if several else [widest]:
            packs = [request.suffixes[group.start : group.stop] for request in requests]
            layout = _Layout(packs, self.device)
            keep, where = torch.unique(layout.last, return_inverse=True)
            features = self.read(
                keep,
                input_ids=layout.ids(self.pad_id),
                attention_mask=layout.mask(lengths, ids.shape[1], self.dtype),
                position_ids=layout.positions + lengths[:, None],
                past_key_values=_fork(cache),
                use_cache=True,
            )
            names = [(row, group.start + i) for row, pack in zip(rows, packs, strict=True) for i in range(len(pack))]
            finish(names, features[layout.row, where])

    def _padded(self, texts: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """-> ids [rows, width]; mask of the same shape, or None where nothing is padded (lets attention be causal)."""
        width = max(map(len, texts))
        ids = torch.tensor([[*text, *[self.pad_id] * (width - len(text))] for text in texts], device=self.device)
        if all(len(text) == width for text in texts):
            return ids, None
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=self.device)
        return ids, mask


class _Layout:
    """Where the suffixes of each row lie in its packed sequence.

    Attributes:
        positions: int [rows, width]; restarts at 0 with each suffix.
        owner: int [rows, width]; number of the suffix a token belongs to, -1 for padding.
        last: int [n]; place of the last token of each suffix, row by row.
        row: int [n]; its row.
    """

    def __init__(self, packs: Sequence[Sequence[Ids]], device: torch.device):
        self._packs, self._device = packs, device
        self._width = max(sum(map(len, pack)) for pack in packs)
        positions, owners, last, rows = [], [], [], []
        for row, pack in enumerate(packs):
            place = [i for suffix in pack for i in range(len(suffix))]
            owner = [number for number, suffix in enumerate(pack) for _ in suffix]
            fill = self._width - len(place)
            positions.append(place + [0] * fill)
            owners.append(owner + [-1] * fill)
            end = -1
            for suffix in pack:
                end += len(suffix)
                last.append(end)
                rows.append(row)
        self.positions = torch.tensor(positions, device=device)
        self.owner = torch.tensor(owners, device=device)
        self.last = torch.tensor(last, device=device)
        self.row = torch.tensor(rows, device=device)

    def ids(self, pad_id: int) -> torch.Tensor:
        """int [rows, width]"""
        flat = [[token for suffix in pack for token in suffix] for pack in self._packs]
        return torch.tensor([[*ids, *[pad_id] * (self._width - len(ids))] for ids in flat], device=self._device)

    def mask(self, prefix_lengths: torch.Tensor, prefix_width: int, dtype: torch.dtype) -> torch.Tensor:
        """Additive [rows, 1, width, prefix_width + width]: the prefix, and what came before in the same suffix.

        Padding sees the prefix and itself, so that no row of the softmax is empty.
        """
        rows = len(self._packs)
        prefix = torch.arange(prefix_width, device=self._device) < prefix_lengths[:, None]
        prefix = prefix[:, None, :].expand(rows, self._width, prefix_width)
        own = (self.owner[:, :, None] == self.owner[:, None, :]).tril()
        seen = torch.cat([prefix, own], dim=-1)[:, None]
        mask = torch.full(seen.shape, torch.finfo(dtype).min, dtype=dtype, device=self._device)
        return mask.masked_fill_(seen, 0.0)


def _fork(cache: DynamicCache) -> DynamicCache:
    """A cache that grows on its own; the tensors so far are shared, since growing makes new ones."""
    branch = copy.copy(cache)
    branch.layers = [copy.copy(layer) for layer in cache.layers]
    return branch


def _groups(suffixes: Sequence[Ids], most: int) -> list[range]:
    """Runs of suffixes of at most so many tokens together."""
    starts, size = [0], 0
    for i, suffix in enumerate(suffixes):
        if size and size + len(suffix) > most:
            starts.append(i)
            size = 0
        size += len(suffix)
    return [range(*ends) for ends in zip(starts, [*starts[1:], len(suffixes)], strict=True)]


def _batches(
    sizes: Sequence[int], budget: int, *, kinds: Sequence[tuple[int, ...]] | None = None, presorted: bool = False
) -> Iterator[list[int]]:
    """Indices in batches, the longest first: within the budget when padded, little padding, all of one kind."""
    order = list(range(len(sizes))) if presorted else sorted(range(len(sizes)), key=lambda i: sizes[i])
    batch: list[int] = []
    width = real = 0
    for i in reversed(order):
        padded = (len(batch) + 1) * max(width, sizes[i])
        alike = not batch or kinds is None or kinds[i] == kinds[batch[-1]]
        if batch and (not alike or padded > budget or padded > (1 + WASTE) * (real + sizes[i])):
            yield batch
            batch, width, real = [], 0, 0
        batch.append(i)
        width, real = max(width, sizes[i]), real + sizes[i]
    if batch:
        yield batch
