"""The completions that are being sampled at once."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from salmon_core.errors import SalmonError
from salmon_core.records import Prompt
from salmon_transformers.cache import Cache


@dataclass(slots=True)
class Row:
    """One completion in the making.

    Attributes:
        place: among all that are asked for.
        ids: of its prompt.
        out: of the completion so far.
        ended: why it ended by itself; None where it has not, or not yet.
    """

    place: int
    prompt: Prompt
    sample: int
    ids: list[int]
    out: list[int] = field(default_factory=list)
    ended: str | None = None


class Network:
    """A causal language model, asked for the logits of next tokens.

    Args:
        model: a transformers model in evaluation mode.
        pad_id: any id.

    Attributes:
        joins: whether rows can join a batch that is under way.
    """

    def __init__(self, model: Any, pad_id: int):
        self.model, self.pad_id = model, pad_id
        self._accepts = frozenset(inspect.signature(model.forward).parameters)
        if model.config.is_encoder_decoder or "past_key_values" not in self._accepts:
            raise SalmonError(
                f"models of type {model.config.model_type!r} cannot be sampled from by this engine",
                hint="use a decoder-only language model, or another engine",
            )
        # Without positions of its own, a row would take its place among the batch's for one in its text.
        self.joins = "position_ids" in self._accepts and Cache(model.config).joins

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.model.device  # type: ignore[no-any-return]

    def __call__(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Cache) -> torch.Tensor:
        """Logits of the last position, [rows, vocabulary].

        Args:
            ids: [rows, new].
            mask: [rows, positions so far and new], 0 where there is nothing.
            positions: [rows, new].
        """
        inputs: dict[str, Any] = {"position_ids": positions, "logits_to_keep": 1}
        inputs = {name: value for name, value in inputs.items() if name in self._accepts}
        output = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache.inner, use_cache=True, **inputs)
        return output.logits[:, -1].to(self.device)  # type: ignore[no-any-return]


class Batch:
    """Rows whose prompts the model has read.

    Args:
        network: the model.
        rows: at least one; rows with the same prompt share its pass through the model.

    Attributes:
        rows: its rows.
        logits: of their next tokens, [rows, vocabulary].

    Raises:
        SalmonError: the logits are not numbers.
    """

    def __init__(self, network: Network, rows: Sequence[Row]):
        self._network = network
        self.rows = list(rows)
        unique = list(dict.fromkeys(tuple(row.ids) for row in rows))
        width = max(map(len, unique))
        ids = torch.full((len(unique), width), network.pad_id)
        mask = torch.zeros((len(unique), width), dtype=torch.long)
        for i, each in enumerate(unique):
            ids[i, width - len(each) :] = torch.tensor(each)
            mask[i, width - len(each) :] = 1
        ids, self._mask = ids.to(network.device), mask.to(network.device)
        self._cache = Cache(network.model.config)
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        self.logits = network(ids, self._mask, positions, self._cache)
        if torch.isnan(self.logits).any():
            raise SalmonError(
                "the model's logits are not numbers", where=f"prompt {rows[0].prompt.id}", hint="check its weights"
            )
        if len(unique) < len(rows):
            place = {each: i for i, each in enumerate(unique)}
            index = torch.tensor([place[tuple(row.ids)] for row in rows], device=network.device)
            self._cache.select(index)
            self.logits, self._mask = self.logits[index], self._mask[index]

    def step(self, tokens: torch.Tensor) -> None:
        """Appends a token [rows] to each row."""
        positions = self._mask.sum(-1, keepdim=True)
        self._mask = torch.cat([self._mask, torch.ones_like(positions)], dim=-1)
        self.logits = self._network(tokens[:, None], self._mask, positions, self._cache)

    def keep(self, places: Sequence[int]) -> None:
        """Drops all rows but these."""
        index = torch.tensor(places, device=self._network.device)
        mask = self._mask[index]
        # The positions that only longer rows had.
        left = int(mask.any(0).int().argmax()) if self._cache.joins else 0
        self._cache.select(index, left)
        self.rows = [self.rows[i] for i in places]
        self.logits, self._mask = self.logits[index], mask[:, left:]

    def join(self, other: Batch) -> None:
        """Takes in another's rows, whose prompts and completions so far may have any length."""
        width = max(self._mask.shape[1], other._mask.shape[1])
        self._cache.join(other._cache)
        masks = [torch.nn.functional.pad(each._mask, (width - each._mask.shape[1], 0)) for each in (self, other)]
        self._mask = torch.cat(masks)
        self.logits = torch.cat([self.logits, other.logits])
        self.rows += other.rows
