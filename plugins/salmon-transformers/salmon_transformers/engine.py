"""The engine `transformers`. torch and transformers are imported only when a model or tokenizer is opened."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.errors import SalmonError
from salmon_core.interfaces import Capability, Engine, ModelSpec, PrefixRequest, Sampling
from salmon_core.records import Completion, Prompt

if TYPE_CHECKING:
    from salmon_transformers.codec import TransformersCodec
    from salmon_transformers.generation import Sampler
    from salmon_transformers.scoring import Scorer


class TransformersEngine(Engine):
    """Samples, judges and scores with Hugging Face transformers, on a CPU or one GPU."""

    capabilities: frozenset[Capability] = frozenset({"generate", "choice_logits", "reward"})

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        batch_tokens: int | None = Field(
            None,
            ge=1,
            description="tokens in one forward pass of judging and scoring; by default 16384 on a GPU, 1024 on a CPU",
        )
        attn_implementation: str | None = Field(None, description="sdpa, eager, ...; by default transformers' choice")

    def __init__(self, options: Options | None = None):
        self._options = options or self.Options()
        self._purpose: Capability | None = None
        self._codec: TransformersCodec | None = None
        self._sampler: Sampler | None = None
        self._scorer: Scorer | None = None

    def load(self, model: ModelSpec, purpose: Capability) -> None:
        """Loads a model for one purpose; a model loaded before is dropped.

        Raises:
            SalmonError: no such model, remote code not opted in, pickled weights, no reward model, ...
        """
        from salmon_transformers import loading
        from salmon_transformers.generation import Sampler
        from salmon_transformers.scoring import Scorer

        if purpose not in self.capabilities:
            raise SalmonError(f"the engine 'transformers' has no capability {purpose!r}")
        self.close()
        codec = loading.open_codec(model)
        kind = "reward" if purpose == "reward" else "causal"
        network = loading.load_model(model, kind, self._options.attn_implementation)  # type: ignore[arg-type]
        if purpose == "generate":
            self._sampler = Sampler(network, codec)
        else:
            if kind == "reward":
                loading.check_reward_model(network, codec, model)
            self._scorer = Scorer(network, codec, kind, self._options.batch_tokens)  # type: ignore[arg-type]
        self._purpose, self._codec = purpose, codec

    def open_codec(self, model: ModelSpec) -> TransformersCodec:
        """That model's tokenizer, without loading the model."""
        from salmon_transformers import loading

        return loading.open_codec(model)

    @property
    def codec(self) -> TransformersCodec:
        """The loaded model's tokenizer."""
        if self._codec is None:
            raise SalmonError("no model is loaded", hint="call load() first")
        return self._codec

    def generate(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """Samples completions of (prompt, its rendered text): `sampling.samples` per prompt, in that order.

        Raises:
            SalmonError: a prompt leaves no room for `max_new_tokens`; settings that make no sense.
        """
        return self._loaded(self._sampler, "generate")(prompts, sampling)  # type: ignore[no-any-return]

    def choice_logits(
        self, requests: Sequence[PrefixRequest], choices: tuple[str, str]
    ) -> list[list[tuple[float, float]]]:
        """For each request and suffix, the float32 logits of the two choices as the next token.

        Raises:
            SalmonError: a choice is not one single token after the suffix; a text is too long.
        """
        scorer = self._loaded(self._scorer if self._purpose == "choice_logits" else None, "choice_logits")
        return scorer.choice_logits(requests, choices)  # type: ignore[no-any-return]

    def reward(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        """For each request and suffix, the reward model's score at the last token of the whole text.

        Raises:
            SalmonError: a text is too long.
        """
        return self._loaded(self._scorer if self._purpose == "reward" else None, "reward").reward(requests)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Frees the model."""
        held = self._purpose is not None
        self._purpose = self._codec = self._sampler = self._scorer = None
        if held:
            import torch

            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _loaded(self, part: Any, purpose: Capability) -> Any:
        if part is None:
            held = f"a model is loaded for {self._purpose!r}" if self._purpose else "no model is loaded"
            raise SalmonError(f"{held}, but {purpose!r} was asked for", hint=f"call load(model, {purpose!r}) first")
        return part
