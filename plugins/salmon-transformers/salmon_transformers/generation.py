"""Batched sampling with a key/value cache; our own loop, so that noise belongs to a sequence and not to a batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from salmon_core.api import Sampling
from salmon_core.calls import part
from salmon_core.kit.hf import HFCodec
from salmon_core.kit.sampling import StopStrings, completion, prompt_ids
from salmon_core.records import Completion, Prompt
from salmon_transformers.batch import Batch, Network, Row
from salmon_transformers.sampling import choose, uniforms

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

    @property
    def network(self) -> Any:
        """The model it samples from."""
        return self._network.model

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """`sampling.samples` completions per (prompt, rendered text), in that order.

        Raises:
            SalmonError: a prompt leaves no room for `max_new_tokens`, is empty, or the settings make no sense.
        """
        encoded = prompt_ids(prompts, sampling, self._codec, self._codec.max_length)
        rows = [
            Row(place * sampling.samples + sample, prompt, sample, ids)
            for place, ((prompt, _), ids) in enumerate(zip(prompts, encoded, strict=True))
            for sample in range(sampling.samples)
        ]
        stop = StopStrings(sampling.stop, self._codec)
        self._sample(rows, sampling, stop)
        return [completion(row.prompt.id, row.sample, row.out, row.ended, stop, self._codec) for row in rows]

    def _sample(self, rows: Sequence[Row], sampling: Sampling, stop: StopStrings) -> None:
        """Samples all rows, `batch_size` at once; whoever waits takes the place of one that ended."""
        # Longest first: little padding, and where memory is short it shows at once.
        waiting = deque(sorted(rows, key=lambda row: (-len(row.ids), row.place)))
        noise = _Noise(sampling, self._network.device)
        batch: Batch | None = None
        free = sampling.batch_size

        def done(row: Row) -> bool:
            return row.ended is not None or len(row.out) == sampling.max_new_tokens

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
                if not done(row):
                    row.out.append(token)
                    row.ended = self._end(row, stop)
            live = [i for i, row in enumerate(batch.rows) if not done(row)]
            free = sampling.batch_size - len(live)
            part(sum(1.0 if done(row) else len(row.out) / sampling.max_new_tokens for row in rows) / len(rows))
            if not live:
                batch = None
                continue
            # Dropping rows copies the cache once: it pays from the first few rows on.
            if len(batch.rows) - len(live) >= _FREE * len(batch.rows):
                batch.keep(live)
                tokens = tokens[torch.tensor(live, device=tokens.device)]
            batch.step(tokens)

    def _end(self, row: Row, stop: StopStrings) -> str | None:
        if row.out[-1] in self.eos_ids:
            return "eos"
        if stop and stop.hit(row.out):
            return "stop"
        return None


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
