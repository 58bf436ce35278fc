"""The engine `openai`. The HTTP client is imported when something is asked, transformers for a tokenizer only."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

from salmon_core.api import Ability, Engine, ModelSpec, TokenCodec, Use
from salmon_core.errors import SalmonError
from salmon_openai import options
from salmon_openai.codecs import ChunkCodec, TurnCodec
from salmon_openai.models import RemoteChooser, RemoteSampler


class OpenAIEngine(Engine):
    """Samples and judges at any endpoint that speaks OpenAI's API.

    It does not say that it is deterministic: seeds are sent, but a server batches as it likes.
    """

    deterministic = False

    Options = options.Options

    def __init__(self, options: options.Options):
        self._options = options

    def codec(self, model: ModelSpec) -> TokenCodec:
        """The tokenizer that the options name; an estimate where they name none.

        Raises:
            SalmonError: no usable tokenizer.
        """
        if self._options.tokenizer is None:
            return ChunkCodec()
        if importlib.util.find_spec("transformers") is None:
            raise SalmonError(
                "a tokenizer needs transformers, which is not installed",
                where=self._options.tokenizer,
                hint="pip install 'salmon-openai[tokenizer]'",
            )
        from salmon_core.kit.hf import open_codec

        codec = open_codec(replace(model, path=str(self._options.tokenizer), adapter=None))
        return TurnCodec(codec) if self._options.api == "chat" else codec

    def check(self, model: ModelSpec, ability: Ability) -> None:
        """Whether there are a key and a tokenizer; asks the endpoint nothing.

        Raises:
            SalmonError: there are not, or an adapter is to be put on top.
        """
        if model.adapter is not None:
            raise SalmonError(
                "an endpoint puts no adapter on top of a model",
                where=model.adapter,
                hint="let the server serve it under a name of its own, and give that as the model",
            )
        self._options.key()
        self.codec(model)

    def memory(self, model: ModelSpec, use: Use) -> None:
        """Nothing is kept here."""

    def sampler(self, model: ModelSpec) -> RemoteSampler:
        """A model to sample from; raises as `check` does."""
        self.check(model, "sampler")
        return RemoteSampler(self._options, model.path, self.codec(model))

    def chooser(self, model: ModelSpec) -> RemoteChooser:
        """A model to choose with; raises as `check` does."""
        self.check(model, "chooser")
        return RemoteChooser(self._options, model.path, self.codec(model))
