"""Batched sampling with a key/value cache; our own loop, so that noise belongs to a sequence and not to a batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from salmon_core.api import Sampling
from salmon_core.calls import part
from salmon_core.errors import SalmonError
from salmon_core.kit.hf import HFCodec
from salmon_core.records import Completion, Prompt
from salmon_transformers.batch import Batch, Network, Row
from salmon_transformers.sampling import StopStrings, choose, uniforms

#: the share of a batch's places that are free when its ended rows are dropped, and others take their places
_FREE = 1 / 8


class Sampler:
    """Samples from one causal language model.

    Args:
        model: a transformers model in evaluation mode.
        codec: its tokenizer.

    Raises:
        SalmonError: the model does not generate with a key/value cache (encoder-decoder and old state-space models).
    """

    def __init__(self, model: Any, codec: HFCodec):
        self._codec = codec
        self._network = Network(model, codec.eos_id)
        self.eos_ids = frozenset(_eos_ids(model, codec))

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """`sampling.samples` completions per (prompt, rendered text), in that order.

        Raises:
            SalmonError: a prompt leaves no room for `max_new_tokens`, is empty, or the settings make no sense.
        """
        _check(sampling)
        encoded = self._codec.encode_batch([text for _, text in prompts])
        limit = self._codec.max_length
        for (prompt, _), ids in zip(prompts, encoded, strict=True):
            if not ids:
                raise SalmonError("the rendered prompt is empty", where=f"prompt {prompt.id}")
            if limit is not None and len(ids) + sampling.max_new_tokens > limit:
                raise SalmonError(
                    f"{len(ids)} tokens and {sampling.max_new_tokens} new ones exceed the model's {limit}",
                    where=f"prompt {prompt.id}",
                    hint="shorten or drop the prompt, or lower max_new_tokens",
                )
        rows = [
            Row(place * sampling.samples + sample, prompt, sample, ids)
            for place, ((prompt, _), ids) in enumerate(zip(prompts, encoded, strict=True))
            for sample in range(sampling.samples)
        ]
        stop = StopStrings(sampling.stop, self._codec)
        self._sample(rows, sampling, stop)
        return [self._completion(row, stop) for row in rows]

    def _sample(self, rows: Sequence[Row], sampling: Sampling, stop: StopStrings) -> None:
        """Samples all rows, `batch_size` at once; whoever waits takes the place of one that ended."""
        # Longest first: little padding, and where memory is short it shows at once.
        waiting = deque(sorted(rows, key=lambda row: (-len(row.ids), row.place)))
        noise = _Noise(sampling, self._network.device)
        batch: Batch | None = None
        free = sampling.batch_size
        while True:
            if waiting and (batch is None or (self._network.joins and free >= _FREE * sampling.batch_size)):
                more = Batch(self._network, [waiting.popleft() for _ in range(min(free, len(waiting)))])
                if batch is None:
                    batch = more
                else:
                    batch.join(more)
            if batch is None:
                return
            tokens = choose(batch.logits, noise(batch.rows), sampling.temperature, sampling.top_p)
            for row, token in zip(batch.rows, tokens.tolist(), strict=True):
                if row.ended is None:
                    row.out.append(token)
                    row.ended = self._end(row, sampling, stop)
            live = [i for i, row in enumerate(batch.rows) if row.ended is None]
            free = sampling.batch_size - len(live)
            part(sum(1.0 if row.ended else len(row.out) / sampling.max_new_tokens for row in rows) / len(rows))
            if not live:
                batch = None
                continue
            # Dropping rows copies the cache once: it pays from the first few rows on.
            if len(batch.rows) - len(live) >= _FREE * len(batch.rows):
                batch.keep(live)
                tokens = tokens[torch.tensor(live, device=tokens.device)]
            batch.step(tokens)

    def _end(self, row: Row, sampling: Sampling, stop: StopStrings) -> str | None:
        if row.out[-1] in self.eos_ids:
            return "eos"
        if stop and stop.hit(row.out):
            return "stop"
        return "length" if len(row.out) == sampling.max_new_tokens else None

    def _completion(self, row: Row, stop: StopStrings) -> Completion:
        length = len(row.out) - (row.ended == "eos")
        body = row.out[:length]
        text = stop.text(body) if row.ended == "stop" else self._codec.decode(body, skip_special=True)
        return Completion(row.prompt.id, row.sample, text, tuple(row.out), length, row.ended != "length")


class _Noise:
    """Each row's own numbers in [0, 1), one for each of its positions."""

    def __init__(self, sampling: Sampling, device: torch.device):
        self._sampling, self._device = sampling, device
        self._drawn: dict[int, np.ndarray] = {}

    def __call__(self, rows: Sequence[Row]) -> torch.Tensor:
        """For the next token of each row, float64 [rows]."""
        settings = self._sampling
        for row in rows:
            if row.place not in self._drawn:
                self._drawn[row.place] = uniforms(settings.seed, row.prompt.id, row.sample, settings.max_new_tokens)
        numbers = [self._drawn[row.place][min(len(row.out), settings.max_new_tokens - 1)] for row in rows]
        return torch.tensor(numbers, dtype=torch.float64, device=self._device)


def _eos_ids(model: Any, codec: HFCodec) -> Iterable[int]:
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if configured is not None:
        yield from map(int, configured if isinstance(configured, list | tuple) else [configured])
    yield codec.eos_id


def _check(sampling: Sampling) -> None:
    for name, value, fine in (
        ("temperature", sampling.temperature, 0 <= sampling.temperature < float("inf")),
        ("top_p", sampling.top_p, 0 < sampling.top_p <= 1),
        ("max_new_tokens", sampling.max_new_tokens, sampling.max_new_tokens >= 1),
        ("samples", sampling.samples, sampling.samples >= 1),
        ("batch_size", sampling.batch_size, sampling.batch_size >= 1),
    ):
        if not fine:
            raise SalmonError(f"{name} = {value} makes no sense", where="sampling")
