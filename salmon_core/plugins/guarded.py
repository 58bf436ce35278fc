"""Open models with their owner beside them: what an engine raises, or leaves out, is said to be its fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from salmon_core.api.models import Chooser, OpenModel, PrefixRequest, Sampler, Sampling, Scorer, TokenCodec
from salmon_core.errors import PluginError, boundary
from salmon_core.records import Completion, Prompt


class _Guarded(OpenModel):
    """Passes on what it is asked.

    Args:
        model: of an engine.
        owner: the engine's distribution.
        engine: its name.
    """

    def __init__(self, model: Any, owner: str, engine: str):
        self._model, self._owner, self._engine = model, owner, engine

    @property
    def codec(self) -> TokenCodec:
        codec: TokenCodec = self._model.codec
        return codec

    def close(self) -> None:
        with boundary(self._owner, f"engine {self._engine!r}, close"):
            self._model.close()

    def _what(self, method: str) -> str:
        return f"engine {self._engine!r}, {method}"

    def _complain(self, method: str, message: str) -> PluginError:
        return PluginError(self._owner, message, what=self._what(method))

    def _check(self, method: str, found: Sequence[Any], requests: Sequence[PrefixRequest]) -> None:
        """One list for each request, with one value for each suffix."""
        if len(found) != len(requests):
            raise self._complain(method, f"gave answers for {len(found)} of {len(requests)} requests")
        for request, values in zip(requests, found, strict=True):
            if len(values) != len(request.suffixes):
                message = f"gave {len(values)} answers for a request with {len(request.suffixes)} suffixes"
                raise self._complain(method, message)


class GuardedSampler(_Guarded, Sampler):
    """A sampler of an engine."""

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        with boundary(self._owner, self._what("sample")):
            completions = list(self._model.sample(tuple(prompts), sampling))
        if len(completions) != len(prompts) * sampling.samples:
            message = f"gave {len(completions)} completions for {len(prompts)} prompts, {sampling.samples} each"
            raise self._complain("sample", message)
        return completions


class GuardedChooser(_Guarded, Chooser):
    """A chooser of an engine."""

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        with boundary(self._owner, self._what("choose")):
            found: list[list[tuple[float, float]]] = self._model.choose(tuple(requests), choices)
        self._check("choose", found, requests)
        return found


class GuardedScorer(_Guarded, Scorer):
    """A scorer of an engine."""

    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        with boundary(self._owner, self._what("score")):
            found: list[list[float]] = self._model.score(tuple(requests))
        self._check("score", found, requests)
        return found
