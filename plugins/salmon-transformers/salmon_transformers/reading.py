"""Features of a model at the last token of many texts, their shared beginnings encoded once.

A request is a prefix with several suffixes. The prefix goes through the model a single time; then its suffixes follow
in ONE sequence behind the prefix's key/value cache. A 4D mask lets each suffix see the prefix and itself only, and
its positions restart where the prefix ends, so the model computes what it would compute for each text alone. Prefixes
that begin alike, as both orders of a judged pair do, follow in the same way behind their common stem.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from salmon_core.calls import part
from salmon_transformers.cache import PrefixCache
from salmon_transformers.cascade import parts
from salmon_transformers.grouping import STEM, Family, Ids, Shared, batches, families, packs
from salmon_transformers.layout import Layout, filled

#: receives (request, suffix) numbers and their features [n, F]
Finish = Callable[[list[tuple[int, int]], torch.Tensor], None]


class Read(Protocol):
    """One forward pass. -> features [rows, len(keep), F] at the positions `keep` of each row."""

    def __call__(self, keep: torch.Tensor, **inputs: Any) -> torch.Tensor: ...


@dataclass(frozen=True)
class _Encoded:
    """Beginnings that went through the model.

    Attributes:
        there: bool [rows, positions], false for padding.
    """

    cache: PrefixCache
    there: torch.Tensor


@dataclass(frozen=True)
class Trunk:
    """The stems of some families.

    Attributes:
        stem: of each row, the length of its family's.
        number: of each row, its family's.
        encoded: None where the families have none.
    """

    stem: dict[int, int]
    number: dict[int, int]
    encoded: _Encoded | None


@dataclass(frozen=True)
class Reader:
    """Runs texts through a model in batches.

    Attributes:
        read: the forward pass.
        device: of the model.
        dtype: of the model, for additive masks.
        pad_id: fills up batches; always masked, or behind what is read.
        budget: tokens in one batch.
        pack: suffix tokens in one packed sequence. Attention computes what the mask then hides, so a CPU wants short
            ones, while a GPU wants few passes.
        multiple: sequences behind or before others are filled up to a multiple of so many tokens.
        cascade: attention computes nothing that a mask hides (`cascade`); packs may then be as long as a batch.
    """

    read: Read
    device: torch.device
    dtype: torch.dtype
    pad_id: int
    budget: int
    pack: int
    multiple: int = 1
    cascade: bool = False

    def plain(self, texts: Sequence[Ids], finish: Callable[[list[int], torch.Tensor], None]) -> None:
        """Right-padded batches, by length.

        Args:
            texts: ids; none empty.
            finish: receives indices into `texts` and their features [n, F], batch by batch.
        """
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        done = 0
        for batch in batches([((len(texts[i]), 1),) for i in order], self.budget):
            rows = [order[i] for i in batch]
            chosen = [texts[row] for row in rows]
            ids, there = self._padded(chosen)
            last = torch.tensor([len(text) - 1 for text in chosen], device=self.device)
            keep, where = torch.unique(last, return_inverse=True)
            # No mask where nothing is padded: it lets attention be causal.
            mask = None if bool(there.all()) else there.long()
            features = self.read(keep, input_ids=ids, attention_mask=mask, use_cache=False)
            finish(rows, features[torch.arange(len(rows), device=self.device), where])
            done += len(rows)
            part(done / len(texts))

    def shared(self, requests: Sequence[Shared], finish: Finish) -> None:
        """Stems once, prefixes behind them, suffixes packed.

        Args:
            requests: each with at least one suffix.
            finish: receives (request, suffix) numbers and their features [n, F], batch by batch.
        """
        requests = [request.lifted for request in requests]
        done = 0

        def told(names: list[tuple[int, int]], features: torch.Tensor) -> None:
            nonlocal done
            finish(names, features)
            done += len(names)
            part(done / total)

        total = sum(len(request.suffixes) for request in requests)
        # Alike families come together, so that batches need little padding.
        prefixes = [request.prefix for request in requests]
        # A budget of less than a stem says: each by itself, so that no last bit depends on what is asked with it.
        found = families(prefixes) if self.budget >= STEM else [Family(0, (row,)) for row in range(len(prefixes))]
        longest = [max(len(requests[row].prefix) + requests[row].packed for row in each.rows) for each in found]
        order = sorted(range(len(found)), key=lambda i: (longest[i], found[i].stem))
        sizes = [((found[i].stem, 1), (longest[i] - found[i].stem, len(found[i].rows))) for i in order]
        for batch in batches(sizes, self.budget, kinds=[(found[i].stem > 0,) for i in order]):
            self._families([found[order[i]] for i in batch], requests, told)

    def _families(self, group: Sequence[Family], requests: Sequence[Shared], finish: Finish) -> None:
        """Those whose stems fit in one batch; all of them have a stem, or none."""
        trunk = self.trunk(group, requests)
        order = sorted(trunk.stem, key=lambda row: (len(requests[row].prefix) - trunk.stem[row], requests[row].packed))
        sizes = [((len(requests[row].prefix) - trunk.stem[row] + requests[row].packed, 1),) for row in order]
        # Suffixes that take several packs are cut at the same places in all requests of a batch.
        kinds = [tuple(map(len, requests[row].suffixes)) if requests[row].packed > self.pack else () for row in order]
        for batch in batches(sizes, self.budget, kinds=kinds):
            self.batch([order[i] for i in batch], requests, trunk, finish)

    def trunk(self, group: Sequence[Family], requests: Sequence[Shared]) -> Trunk:
        """Encodes the stems of families, all of which have one, or none."""
        stem = {row: each.stem for each in group for row in each.rows}
        number = {row: i for i, each in enumerate(group) for row in each.rows}
        stems = [requests[each.rows[0]].prefix[: each.stem] for each in group]
        return Trunk(stem, number, self._first(stems, room=0) if group[0].stem else None)

    def batch(self, rows: Sequence[int], requests: Sequence[Shared], trunk: Trunk, finish: Finish) -> None:
        """Reads requests, by their numbers, whose families' stems are encoded, in one batch."""
        own = [requests[row] for row in rows]
        cuts = [range(max(len(request.suffixes) for request in own))]
        if max(request.packed for request in own) > self.pack:
            cuts = packs(own[0].suffixes, self.pack)
        room = max(sum(map(len, request.suffixes[cut.start : cut.stop])) for request in own for cut in cuts)
        room += self.multiple
        if trunk.encoded is None:
            encoded = self._first([request.prefix for request in own], room)
        else:
            rests = [request.prefix[trunk.stem[row] :] for row, request in zip(rows, own, strict=True)]
            encoded = self._behind(trunk.encoded, [trunk.number[row] for row in rows], rests, room)
        for cut in cuts:
            tails = [request.suffixes[cut.start : cut.stop] for request in own]
            layout = Layout(tails, self.device, self.multiple)
            keep, where = torch.unique(layout.last, return_inverse=True)
            features = self._read_packed(keep, layout, encoded)
            names = [(row, cut.start + i) for row, tail in zip(rows, tails, strict=True) for i in range(len(tail))]
            finish(names, features[layout.row, where])

    def _first(self, texts: Sequence[Ids], room: int) -> _Encoded:
        """Beginnings of texts. They need a mask only for transformers, which warns where padding has none."""
        ids, there = self._padded(texts, self.multiple)
        cache = PrefixCache(room)
        mask = None if bool(there.all()) else there.long()
        self.read(self._nowhere, input_ids=ids, attention_mask=mask, past_key_values=cache.inner, use_cache=True)
        return _Encoded(cache, there)

    def _behind(self, trunk: _Encoded, stems: Sequence[int], rests: Sequence[Ids], room: int) -> _Encoded:
        """Beginnings that go on behind rows of others, in steps: attention computes what a mask hides too."""
        index = torch.tensor(stems, device=self.device)
        longest, shortest = max(map(len, rests)), min(map(len, rests))
        begun = _Encoded(trunk.cache.branch(index, filled(longest, self.multiple) + room), trunk.there[index])
        starts = range(0, max(1, shortest - self.pack // 2), self.pack)
        for start in starts:
            end = longest if start == starts[-1] else start + self.pack
            layout = Layout([[rest[start:end]] for rest in rests], self.device, self.multiple)
            self._read_packed(self._nowhere, layout, begun, keeps=True)
            begun = _Encoded(begun.cache, torch.cat([begun.there, layout.owner >= 0], dim=1))
        return begun

    def _read_packed(
        self, keep: torch.Tensor, layout: Layout, before: _Encoded, *, keeps: bool = False
    ) -> torch.Tensor:
        """A pass over what follows the beginnings; they are as before unless the cache `keeps` it."""
        with parts(layout, before.there, self.dtype) if self.cascade else nullcontext():
            features = self.read(
                keep,
                input_ids=layout.ids(self.pad_id),
                # What is computed in parts needs none; with one of four dimensions, transformers makes none.
                attention_mask=self._nothing if self.cascade else layout.mask(before.there, self.dtype),
                position_ids=layout.positions + before.there.sum(1, keepdim=True),
                past_key_values=before.cache.inner,
                use_cache=True,
            )
        if not keeps:
            before.cache.rewind(before.there.shape[1])
        return features

    @property
    def _nothing(self) -> torch.Tensor:
        """A mask that hides nothing."""
        return torch.zeros(1, 1, 1, 1, dtype=self.dtype, device=self.device)

    @property
    def _nowhere(self) -> torch.Tensor:
        """A position, where only the cache is wanted."""
        return torch.zeros(1, dtype=torch.long, device=self.device)

    def _padded(self, texts: Sequence[Ids], multiple: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """-> ids [rows, width]; bool of the same shape, false for padding."""
        width = filled(max(map(len, texts)), multiple)
        ids = torch.tensor([[*text, *[self.pad_id] * (width - len(text))] for text in texts], device=self.device)
        there = torch.tensor([[True] * len(text) + [False] * (width - len(text)) for text in texts], device=self.device)
        return ids, there
