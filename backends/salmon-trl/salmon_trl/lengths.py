"""Rows of unequal lengths in passes of their own, so that little is computed for padding.

A reward model's batch has the longer and the shorter text of each pair. Batches of pairs that are alike in length help
where both texts of a pair are, too; where an argument is compared with a single word, half the batch is padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.modeling_outputs import SequenceClassifierOutput

#: padding that is put up with, as a share of what is computed
TOLERATED = 0.05
#: tokens that a pass more has to save: a small pass leaves a GPU idle
WORTH = {"cpu": 32, "cuda": 4096}


def groups(lengths: Sequence[int], worth: int) -> list[list[int]]:
    """Rows by passes, each padded to its longest: cut in two where that saves most, and again.

    Args:
        lengths: of the rows, in tokens.
        worth: tokens that each cut has to save.
    """
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])

    def cut(rows: list[int]) -> list[list[int]]:
        widths = [lengths[row] for row in rows]
        padded = len(rows) * widths[-1]
        # Those before a cut are padded to the last of them instead of to the longest of all.
        saved, place = max(((i * (widths[-1] - widths[i - 1]), i) for i in range(1, len(rows))), default=(0, 0))
        if padded - sum(widths) <= TOLERATED * padded or saved < max(1, worth):
            return [rows]
        return [*cut(rows[:place]), *cut(rows[place:])]

    return cut(order) if order else []


class Parted:
    """A sequence classifier that reads a right-padded batch in passes, as `groups` has them.

    Args:
        model: what reads; all its outputs but the logits are left out.
    """

    def __init__(self, model: Any):
        self._model = model

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **more: Any) -> SequenceClassifierOutput:
        """`input_ids` and `attention_mask` [rows, width]. -> logits [rows, labels]"""
        lengths = attention_mask.sum(1).tolist()
        passes = groups(lengths, WORTH.get(input_ids.device.type, WORTH["cuda"]))
        logits = []
        for rows in passes:
            index, width = torch.tensor(rows, device=input_ids.device), max(lengths[row] for row in rows)
            texts = {"input_ids": input_ids, "attention_mask": attention_mask}
            own = {name: each.index_select(0, index)[:, :width] for name, each in texts.items()}
            logits.append(self._model(**own, **more).logits)
        place = torch.tensor([row for rows in passes for row in rows], device=input_ids.device).argsort()
        return SequenceClassifierOutput(logits=torch.cat(logits).index_select(0, place))
