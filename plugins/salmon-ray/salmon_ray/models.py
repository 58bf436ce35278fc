"""Models that the workers of a pool have open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from salmon_core.api import Chooser, OpenModel, PrefixRequest, Sampler, Sampling, Scorer, TokenCodec
from salmon_core.records import Completion, Prompt
from salmon_ray import wire
from salmon_ray.pool import Pool

T = TypeVar("T")


class _Open(OpenModel):
    """A model in a pool.

    Args:
        codec: its tokenizer, in this process.
        chunk: rows that a worker gets at once, whatever the number of workers: results depend on no more than that.
    """

    def __init__(self, pool: Pool, codec: TokenCodec, chunk: int):
        self._pool, self._codec, self._chunk = pool, codec, chunk

    @property
    def codec(self) -> TokenCodec:
        """Its tokenizer."""
        return self._codec

    @property
    def pids(self) -> list[int]:
        """Processes of the workers, on whatever machine they are."""
        return self._pool.pids

    def close(self) -> None:
        """Ends the workers, and Ray if it was started for them."""
        self._pool.close()

    def _answers(self, rows: Sequence[T], piece: Callable[[Sequence[T]], bytes]) -> list[Any]:
        """What the workers say of all rows, in order."""
        pieces = [rows[start : start + self._chunk] for start in range(0, len(rows), self._chunk)]
        answers = self._pool.ask([piece(each) for each in pieces], [len(each) for each in pieces])
        return [value for values in answers for value in values]


class RaySampler(_Open, Sampler):
    """Samples from a language model."""

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """Completions of (prompt, its rendered text): `sampling.samples` per prompt, in that order.

        Raises:
            SalmonError: the inner engine's, or workers die again and again.
        """
        return wire.completions(self._answers(prompts, lambda rows: wire.prompts(rows, sampling)))


class RayChooser(_Open, Chooser):
    """Asks a language model which of two next tokens is likelier."""

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        """For each request and suffix what the inner engine gives; raises as `RaySampler.sample`."""
        found = self._answers(requests, lambda rows: wire.texts("choose", rows, choices))
        return [[(first, second) for first, second in values] for values in found]


class RayScorer(_Open, Scorer):
    """Scores with a reward model."""

    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        """For each request and suffix what the inner engine gives; raises as `RaySampler.sample`."""
        return self._answers(requests, lambda rows: wire.texts("score", rows, None))
