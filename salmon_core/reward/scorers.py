"""The open model behind a reward: a sequence classifier, or a language model that chooses an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from salmon_core.api.models import Ability, Chooser, OpenModel, PrefixRequest, Scorer, TokenCodec
from salmon_core.api.templates import Template


class AnswerScorer(Scorer):
    """A language model as a reward model: how much likelier the first of two answers is than the second.

    The difference of log-probabilities of two answers such as yes and no, as verifiers are read (arXiv 2408.15240).

    Args:
        chooser: the open model; closed with this.
    """

    def __init__(self, chooser: Chooser, answers: tuple[str, str]):
        self._chooser, self._answers = chooser, answers

    @property
    def codec(self) -> TokenCodec:
        """Its tokenizer."""
        return self._chooser.codec

    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        """For each request and suffix, log p(first answer) - log p(second answer)."""
        found = self._chooser.choose(requests, self._answers)
        return [[first - second for first, second in row] for row in found]

    def close(self) -> None:
        """Closes the model."""
        self._chooser.close()


def ability_of(template: Template) -> Ability:
    """What an engine has to open for a reward model that is asked so."""
    return "scorer" if template.answers is None else "chooser"


def scorer_of(model: OpenModel, template: Template) -> Scorer:
    """An open model, opened for `ability_of(template)`, as a scorer."""
    if template.answers is None:
        return cast(Scorer, model)
    return AnswerScorer(cast(Chooser, model), template.answers)
