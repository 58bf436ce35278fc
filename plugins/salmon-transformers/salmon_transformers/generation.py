"""Batched sampling with a key/value cache; our own loop, so that noise belongs to a sequence and not to a batch."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from salmon_core.api import Sampling
from salmon_core.calls import part, within
from salmon_core.errors import SalmonError
from salmon_core.kit.hf import HFCodec
from salmon_core.kit.sampling import StopStrings, completion, prompt_ids
from salmon_core.records import Completion, Prompt
from salmon_transformers.sampling import choose, uniforms


@dataclass(slots=True)
class _Row:
    """One completion in the making."""

    place: int
    prompt: Prompt
    sample: int
    ids: list[int]
    out: list[int] = field(default_factory=list)
    ended: str | None = None


class Sampler:
    """Samples from one causal language model.

    Args:
        model: a transformers model in evaluation mode.
        codec: its tokenizer.

    Raises:
        SalmonError: the model does not generate with a key/value cache (encoder-decoder and old state-space models).
    """

    def __init__(self, model: Any, codec: HFCodec):
        self._model, self._codec = model, codec
        self._accepts = frozenset(inspect.signature(model.forward).parameters)
        if model.config.is_encoder_decoder or "past_key_values" not in self._accepts:
            raise SalmonError(
                f"models of type {model.config.model_type!r} cannot be sampled from by this engine",
                hint="use a decoder-only language model, or another engine",
            )
        self.eos_ids = frozenset(_eos_ids(model, codec))

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """`sampling.samples` completions per (prompt, rendered text), in that order.

        Raises:
            SalmonError: a prompt leaves no room for `max_new_tokens`, is empty, or the settings make no sense.
        """
        encoded = prompt_ids(prompts, sampling, self._codec, self._codec.max_length)
        rows = [
            _Row(place * sampling.samples + sample, prompt, sample, ids)
            for place, ((prompt, _), ids) in enumerate(zip(prompts, encoded, strict=True))
            for sample in range(sampling.samples)
        ]
        # Longest first: little padding, and where memory is short it shows at once.
        ordered = sorted(rows, key=lambda row: (-len(row.ids), row.place))
        stop = StopStrings(sampling.stop, self._codec)
        for start in range(0, len(ordered), sampling.batch_size):
            batch = ordered[start : start + sampling.batch_size]
            with within(start / len(ordered), (start + len(batch)) / len(ordered)):
                self._batch(batch, sampling, stop)
        return [completion(row.prompt.id, row.sample, row.out, row.ended, stop, self._codec) for row in rows]

    def _batch(self, rows: list[_Row], sampling: Sampling, stop: StopStrings) -> None:
        device = self._model.device
        noise = torch.from_numpy(
            np.stack([uniforms(sampling.seed, r.prompt.id, r.sample, sampling.max_new_tokens) for r in rows])
        ).to(device)
        logits, cache, mask = self._prefill(rows, sampling.max_new_tokens)
        if torch.isnan(logits).any():
            raise SalmonError(
                "the model's logits are not numbers", where=f"prompt {rows[0].prompt.id}", hint="check its weights"
            )
        width = max(len(row.ids) for row in rows)
        positions = mask.sum(-1, keepdim=True)
        mask[:, width:] = 1
        live = list(rows)
        for step in range(sampling.max_new_tokens):
            part(step / sampling.max_new_tokens)
            tokens = choose(logits, noise[:, step], sampling.temperature, sampling.top_p)
            for row, token in zip(live, tokens.tolist(), strict=True):
                if row.ended is None:
                    row.out.append(token)
                    if token in self.eos_ids:
                        row.ended = "eos"
                    elif stop and stop.hit(row.out):
                        row.ended = "stop"
            keep = [i for i, row in enumerate(live) if row.ended is None]
            if not keep or step + 1 == sampling.max_new_tokens:
                return
            if (len(live) - len(keep)) * 8 >= len(live):
                # Dropping rows copies the cache once, as every step does anyway: it pays from the first few rows on.
                index = torch.tensor(keep, device=device)
                cache.reorder_cache(index)  # type: ignore[arg-type]
                live = [live[i] for i in keep]
                tokens, noise, mask, positions = tokens[index], noise[index], mask[index], positions[index]
            logits = self._forward(tokens[:, None], mask[:, : width + step + 1], positions, cache)
            positions = positions + 1

    def _prefill(self, rows: Sequence[_Row], room: int) -> tuple[torch.Tensor, DynamicCache, torch.Tensor]:
        """-> logits [rows, vocabulary], cache, mask [rows, width + room] with zeros where nothing is yet.

        Samples of one prompt share its pass through the model.
        """
        unique = list(dict.fromkeys(tuple(row.ids) for row in rows))
        width = max(map(len, unique))
        ids = torch.full((len(unique), width), self._codec.eos_id)
        mask = torch.zeros((len(unique), width + room), dtype=torch.long)
        for i, each in enumerate(unique):
            ids[i, width - len(each) :] = torch.tensor(each)
            mask[i, width - len(each) : width] = 1
        device = self._model.device
        ids, mask = ids.to(device), mask.to(device)
        cache = DynamicCache(config=self._model.config)
        positions = (mask[:, :width].cumsum(-1) - 1).clamp(min=0)
        logits = self._forward(ids, mask[:, :width], positions, cache)
        if len(unique) < len(rows):
            place = {each: i for i, each in enumerate(unique)}
            index = torch.tensor([place[tuple(row.ids)] for row in rows], device=device)
            cache.reorder_cache(index)  # type: ignore[arg-type]
            logits, mask = logits[index], mask[index]
        return logits, cache, mask

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache
    ) -> torch.Tensor:
        """-> logits of the last position [rows, vocabulary]."""
        inputs: dict[str, Any] = {"position_ids": positions, "logits_to_keep": 1}
        inputs = {name: value for name, value in inputs.items() if name in self._accepts}
        output = self._model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **inputs)
        return output.logits[:, -1]  # type: ignore[no-any-return]


def _eos_ids(model: Any, codec: HFCodec) -> Iterable[int]:
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if configured is not None:
        yield from map(int, configured if isinstance(configured, list | tuple) else [configured])
    yield codec.eos_id
