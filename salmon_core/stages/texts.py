"""The settings by which texts for judge, reward model and policy are rendered; several stages read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import TokenCodec
from salmon_core.api.templates import Limits, Template
from salmon_core.plugins.engines import open_codec
from salmon_core.plugins.registry import Registry
from salmon_core.reward.forms import Form
from salmon_core.reward.rendering import Renderer
from salmon_core.stages.sources import ModelInput, Sources


@dataclass(frozen=True)
class Texts:
    """Attributes:
    policy: whose special tokens are made plain in every text; no stage changes its tokenizer.
    engine: opens its tokenizer.
    reward: how the reward model is asked; None where no text is for it.
    """

    template: Template
    limits: Limits
    policy: ModelInput
    engine: ComponentSpec
    reward: Template | None = None

    def codec(self, registry: Registry) -> TokenCodec:
        """The policy's tokenizer."""
        return open_codec(registry, self.engine, self.policy.spec)

    def renderer(self, registry: Registry, codec: TokenCodec | None = None, *, form: Form = "text") -> Renderer:
        """For texts that a model with this tokenizer reads; by default the policy.

        Args:
            form: in which a judge is asked.
        """
        own = self.codec(registry)
        others: Sequence[TokenCodec] = () if codec is None else (own,)
        return Renderer(self.template, codec or own, others=others, limits=self.limits, form=form)

    def reward_renderer(self, registry: Registry, codec: TokenCodec) -> Renderer:
        """For texts that a reward model with this tokenizer reads."""
        assert self.reward is not None
        return Renderer(self.reward, codec, others=(self.codec(registry),), limits=self.limits)


def texts_of(sources: Sources, engine: str) -> Texts:
    """As configured, with tokenizers by one of the engines: `sample`, `judge` or `reward`."""
    config = sources.config
    reward = config.reward_template if engine == "reward" else None
    return Texts(config.template, config.limits, sources.base(), config.engines[engine], reward)
