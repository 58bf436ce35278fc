"""Parquet in, token ids out; and the order in which rows are visited. What is shown is exactly what was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Sampler

from salmon_core.data.parquet import open_table
from salmon_core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa
    from transformers import PreTrainedTokenizerBase


def read_table(path: str | Path, columns: Sequence[str]) -> pa.Table:
    """The file's rows.

    Raises:
        DataError: unreadable, a column missing, or no rows.
    """
    table = open_table(Path(path))
    if missing := [name for name in columns if name not in table.column_names]:
        raise DataError(f"lacks the column(s) {', '.join(missing)}", where=str(path))
    if not table.num_rows:
        raise DataError("has no rows", where=str(path), hint="earlier stages dropped everything; see their reports")
    return table


#: how a tokenizer is asked for the ids of final texts
FINAL: dict[str, Any] = {
    "add_special_tokens": False,
    "split_special_tokens": False,
    "return_attention_mask": False,
    "verbose": False,
}


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Ids of final texts: special tokens written in a text are parsed, none is added."""
    ids: list[list[int]] = tokenizer(list(texts), **FINAL)["input_ids"]
    return ids


def encode_after(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], *columns: Sequence[str]
) -> tuple[list[list[int]], list[list[list[int]]], int]:
    """Ids of prompts and of what stands behind them, all final texts; how many of those are encoded apart.

    The prompt's ids are those a policy is given when it generates. Where a tokenizer merges tokens across the border,
    the completion is therefore encoded by itself.

    Args:
        columns: completions, one for each prompt; one column or several.
    """
    asked, apart = encode(tokenizer, prompts), 0
    found: list[list[list[int]]] = []
    for completions in columns:
        said: list[list[int]] = []
        wholes = encode(tokenizer, [p + c for p, c in zip(prompts, completions, strict=True)])
        for prompt, whole, completion in zip(asked, wholes, completions, strict=True):
            if whole[: len(prompt)] == prompt:
                said.append(whole[len(prompt) :])
            else:
                said.append(encode(tokenizer, [completion])[0])
                apart += 1
        found.append(said)
    return asked, found, apart


def position_limit(config: Any) -> int | None:
    """The longest sequence the model has positions for, where it says so."""
    limit = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(limit) if limit else None


def check_lengths(lengths: Sequence[int], limit: int, where: str, hint: str) -> None:
    """Nothing is dropped or cut behind the user's back.

    Raises:
        DataError: a row is longer than `limit`.
    """
    long = sum(length > limit for length in lengths)
    if long:
        raise DataError(
            f"{long} of {len(lengths)} rows are longer than {limit} tokens (the longest: {max(lengths)})",
            where=where,
            hint=hint,
        )


class SimilarLengths(Sampler[int]):
    """A fresh random order for each epoch in which neighbours have similar lengths, so that batches pad little.

    The order depends on seed and epoch alone: a resumed run sees the rows in the same order. Batches themselves come
    in random order, unlike transformers' `group_by_length`, which goes from long to short again and again.

    Args:
        lengths: of each row.
        batch_size: rows padded together.
        group: False for a plain random order.
        pool: batches whose rows are sorted together; larger pads less and mixes less.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, *, group: bool = True, pool: int = 50):
        self.lengths, self.batch_size, self.seed, self.group, self.pool = lengths, batch_size, seed, group, pool
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        if not self.group:
            return iter(order)
        size = self.batch_size * self.pool
        batches = []
        for start in range(0, len(order), size):
            rows = sorted(order[start : start + size], key=self.lengths.__getitem__)
            batches += [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        # An incomplete batch has to stay last, where the batch sampler expects it.
        full = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        mixed = [full[i] for i in torch.randperm(len(full), generator=generator).tolist()]
        return iter([row for batch in mixed + rest for row in batch])


if TYPE_CHECKING:
    from transformers import Trainer as _Base
else:
    _Base = object


class OrderedRows(_Base):
    """Mixin for trainers over a fixed data set: rows come as `SimilarLengths` says. Set `order` before training."""

    order: SimilarLengths

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self.order
