"""The engine `transformers`. torch and transformers are imported only when a model or tokenizer is opened."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import (
    Ability,
    Chooser,
    Engine,
    ModelSpec,
    OpenModel,
    PrefixRequest,
    ProcessMemory,
    Sampler,
    Sampling,
    Scorer,
    Use,
)
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt
from salmon_transformers.how import How, check_quantization
from salmon_transformers.memory import memory_of

if TYPE_CHECKING:
    from salmon_core.kit.hf import HFCodec


class _Open(OpenModel):
    """A loaded model, and what asks it.

    Args:
        part: asks the network; the only thing here that holds it.
        codec: the model's tokenizer.
    """

    def __init__(self, part: Any, codec: HFCodec):
        self._part, self._codec = part, codec

    @property
    def codec(self) -> HFCodec:
        """Its tokenizer."""
        return self._codec

    def close(self) -> None:
        """Frees the network."""
        if self._part is None:
            return
        self._part = None
        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def _open(self) -> Any:
        if self._part is None:
            raise SalmonError("the model was closed", where=self._codec.name, hint="open it again")
        return self._part


class TransformersSampler(_Open, Sampler):
    """Samples from a causal language model."""

    @property
    def network(self) -> Any:
        """The loaded model."""
        return self._open.network

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """Completions of (prompt, its rendered text): `sampling.samples` per prompt, in that order.

        Raises:
            SalmonError: a prompt leaves no room for `max_new_tokens`; settings that make no sense.
        """
        completions: list[Completion] = self._open(prompts, sampling)
        return completions


class TransformersChooser(_Open, Chooser):
    """Asks a causal language model which of two next tokens is likelier."""

    @property
    def network(self) -> Any:
        """The loaded model, its layers laid out for reading."""
        return self._open.network

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        """For each request and suffix, the float32 logits of the two choices as the next token.

        Raises:
            SalmonError: a choice is not one single token after the suffix; a text is too long.
        """
        logits: list[list[tuple[float, float]]] = self._open.choice_logits(requests, choices)
        return logits


class TransformersScorer(_Open, Scorer):
    """Scores with a sequence classifier of one label."""

    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        """For each request and suffix, the reward model's score at the last token of the whole text.

        Raises:
            SalmonError: a text is too long.
        """
        scores: list[list[float]] = self._open.reward(requests)
        return scores


class TransformersEngine(Engine):
    """Samples, judges and scores with Hugging Face transformers, on a CPU, one GPU, or layer by layer over several.

    It is deterministic: sampling noise is a function of seed, prompt, sample and position, so completions are equal
    for equal thread counts and batch sizes, and but for float ties for all.
    """

    deterministic = True

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        batch_tokens: int | None = Field(
            None,
            ge=1,
            description="tokens in one forward pass of judging and scoring; by default 16384 on a GPU, 1024 on a CPU;"
            " 1: each prefix by itself, so that no last bit depends on what is asked with it",
        )
        attn_implementation: str | None = Field(None, description="sdpa, eager, ...; by default transformers' choice")
        quantization: Literal["nf4", "int8"] | None = Field(
            None, description="weights in 4 bits or in 8; needs bitsandbytes"
        )
        device_map: Literal["auto"] | None = Field(
            None, description="auto: layers over all GPUs of the machine, and its memory where they do not suffice"
        )

    def __init__(self, options: Options | None = None):
        self._options = options or self.Options()

    @property
    def _how(self) -> How:
        return How(self._options.attn_implementation, self._options.quantization, self._options.device_map)

    def codec(self, model: ModelSpec) -> HFCodec:
        """That model's tokenizer, without its weights."""
        from salmon_core.kit.hf import open_codec

        return open_codec(model)

    def check(self, model: ModelSpec, ability: Ability) -> None:
        """Whether the model's files are there and are what they have to be; reads no weights.

        Raises:
            SalmonError: as the method of that ability, but for what only the weights tell.
        """
        from salmon_core.kit.hf_files import check_labels, check_padding, locate, locate_adapter, named_base, readable

        check_quantization(self._options.quantization)
        codec, spec = self.codec(model), named_base(model)
        source = locate(spec, weights=True)
        locate_adapter(spec)
        if ability == "scorer":
            from transformers import AutoConfig

            with readable(spec, "its configuration"):
                config = AutoConfig.from_pretrained(source, trust_remote_code=spec.trust_remote_code)
            if spec.adapter is None:
                check_labels(config, spec)
                if not model.conversational:
                    check_padding(config, codec.tokenizer, spec)

    def memory(self, model: ModelSpec, use: Use) -> ProcessMemory:
        """See `salmon_transformers.memory`."""
        return memory_of(model, use, self._how, self._options.batch_tokens)

    def sampler(self, model: ModelSpec) -> TransformersSampler:
        """A language model to sample from.

        Raises:
            SalmonError: no such model, remote code not opted in, pickled weights, ...
        """
        from salmon_transformers.generation import Sampler as Sampling

        network, codec = self._load(model, "causal")
        return TransformersSampler(Sampling(network, codec), codec)

    def chooser(self, model: ModelSpec) -> TransformersChooser:
        """A language model to choose with; raises as `sampler` does."""
        return TransformersChooser(*self._scoring(model, "causal"))

    def turned(self, opened: Any, ability: Ability) -> OpenModel | None:
        """A sampler's network as a chooser: reading may lay out its weights anew, so not the other way round."""
        if not isinstance(opened, TransformersSampler) or ability != "chooser":
            return None
        return TransformersChooser(*self._reading(opened.network, opened.codec, "causal"))

    def scorer(self, model: ModelSpec) -> TransformersScorer:
        """A reward model.

        Raises:
            SalmonError: as `sampler`; or it has not one label, or no pad token apart from its EOS.
        """
        return TransformersScorer(*self._scoring(model, "reward"))

    def _scoring(self, model: ModelSpec, kind: Literal["causal", "reward"]) -> tuple[Any, HFCodec]:
        from salmon_core.kit.hf_files import check_padding

        network, codec = self._load(model, kind)
        if kind == "reward" and not model.conversational:
            check_padding(network.config, codec.tokenizer, model)
        scoring, codec = self._reading(network, codec, kind)
        if kind == "reward" and not scoring.body_only:  # the model itself looks for the last token
            check_padding(network.config, codec.tokenizer, model)
        return scoring, codec

    def _reading(self, network: Any, codec: HFCodec, kind: Literal["causal", "reward"]) -> tuple[Any, HFCodec]:
        from salmon_transformers.scoring import Scorer as Scoring

        return Scoring(network, codec, kind, self._options.batch_tokens), codec

    def _load(self, model: ModelSpec, kind: Literal["causal", "reward"]) -> tuple[Any, HFCodec]:
        from salmon_transformers import loading

        codec = self.codec(model)
        return loading.load_model(model, kind, self._how), codec
