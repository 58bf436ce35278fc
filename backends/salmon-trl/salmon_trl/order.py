"""Tells the row order which epoch it is, also after a resume."""

from __future__ import annotations

from typing import Any, Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class _Order(Protocol):
    epoch: int


class FollowEpochs(TrainerCallback):
    """accelerate passes epochs on only through some of the wrappers it puts around a sampler."""

    def __init__(self, order: _Order):
        self.order = order

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.order.epoch = int(state.epoch or 0)
