"""What stands in for a run, its models and its APIs where things are only tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from salmon_core.api.evaluation import Oracle
from salmon_core.api.models import Ability, Chooser, PrefixRequest, Sampler, Sampling, TokenCodec
from salmon_core.config.run_config import RunConfig
from salmon_core.plugins.oracles import find_oracle
from salmon_core.records import Completion, Prompt
from salmon_core.run.calls import Calls
from salmon_core.run.judging import Judging


class Asked(Exception):
    """A judge asks a model, or an API: a check goes no further."""


class Known:
    """A `KnownRun`."""

    def __init__(self, config: RunConfig):
        self.judge_principles, self.reward_principles = config.judge_principles, config.reward_principles
        self._registry = config.registry

    def oracle(self, name: str) -> Oracle:
        return find_oracle(self._registry, name)


class Unopened(Sampler, Chooser):
    """A model with nothing but its tokenizer.

    Args:
        ability: what it was opened for.
    """

    def __init__(self, codec: TokenCodec, ability: Ability):
        self._codec, self.ability = codec, ability

    @property
    def codec(self) -> TokenCodec:
        return self._codec

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        raise Asked

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        raise Asked


class Probe(Judging):
    """A judge that calls nothing."""

    def _calls(self) -> Calls:
        async def ask(*_: Any) -> Any:
            raise Asked

        return cast(Calls, ask)
