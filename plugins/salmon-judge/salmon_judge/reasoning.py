"""The judge `reasoning`: a model argues, then says which of two completions is better, several times in both orders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from salmon_core.api import Judge, JudgeContext, Principle, Sampling
from salmon_core.calls import within
from salmon_core.records import Completion, Judgment, Pair, Prompt
from salmon_judge.votes import Ballot, Vote, log_odds

#: what comes before an argument in which the letters stand for the completions the other way round
_TURNED = "(asked in the other order) "


class ReasoningJudge(Judge):
    """For models that can argue: chat models, and those behind an API. Each answer with a verdict is a vote.

    Answers that were cut off, or whose last line is no verdict, are no votes; a judgment says how many there were.
    """

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        votes: int = Field(default=3, ge=1, description="answers for each pair, principle and order")
        temperature: float = Field(default=0.7, ge=0, allow_inf_nan=False, description="of sampling them")
        top_p: float = Field(default=1.0, gt=0, le=1, description="of nucleus sampling")
        max_new_tokens: int = Field(
            default=512, ge=1, description="of an answer; one that is longer is cut off and counts as unread"
        )
        batch_pairs: int = Field(default=16, ge=1, description="pairs handed to the model at once")

        @model_validator(mode="after")
        def _differ(self) -> Self:
            if self.temperature == 0 and self.votes > 1:
                raise ValueError(f"at temperature 0 all {self.votes} votes are the same; set votes: 1")
            return self

    def __init__(self, options: Options | None = None):
        self.options = options or self.Options()

    @property
    def calls(self) -> int:  # type: ignore[override]
        """Answers to each question."""
        return self.options.votes

    def judge(self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        """Judges every pair under every principle; pairs in order, principles in order within a pair.

        Raises:
            SalmonError: the template's choices cannot be told apart in an answer.
        """
        options, ballot = self.options, Ballot(context.template.choices)
        shown = [principle.shown() for principle in principles]
        sampling = Sampling(
            temperature=options.temperature,
            top_p=options.top_p,
            max_new_tokens=options.max_new_tokens,
            samples=options.votes,
            stop=context.template.stop,
            seed=context.seed,
        )
        judgments: list[Judgment] = []
        for start in range(0, len(pairs), options.batch_pairs):
            batch = pairs[start : start + options.batch_pairs]
            questions = []
            for pair in batch:
                orders = context.ask(pair, shown, ballot.question, room=options.max_new_tokens)
                for principle, *texts in zip(principles, *(order.texts for order in orders), strict=True):
                    questions += [
                        (_named(pair, principle, order, text), text)
                        for order, text in zip(("1-2", "2-1"), texts, strict=True)
                    ]
            with within(start / len(pairs), (start + len(batch)) / len(pairs)):
                answers = context.sampler.sample(questions, sampling)
            both = 2 * options.votes
            asked = [(pair, principle) for pair in batch for principle in principles]
            for number, (pair, principle) in enumerate(asked):
                judgments.append(self._judgment(pair, principle, answers[both * number : both * (number + 1)], ballot))
        return judgments

    def _judgment(self, pair: Pair, principle: Principle, answers: Sequence[Completion], ballot: Ballot) -> Judgment:
        """From the answers in the one order, then those in the other."""
        half = self.options.votes
        read = [ballot.read(answer) for answer in answers]
        order12, order21 = ([vote for vote in part if vote is not None] for part in (read[:half], read[half:]))
        return Judgment(
            pair.id,
            principle.name,
            s12=log_odds(order12),
            s21=-log_odds(order21),
            reason=_reason(order12, order21),
            answers=len(read),
            unread=read.count(None),
        )


def _reason(order12: Sequence[Vote], order21: Sequence[Vote]) -> str | None:
    """The first argument for the completion with more votes, of either where they are even."""
    arguments = [(vote.first, vote.argument) for vote in order12]
    arguments += [(not vote.first, _TURNED + vote.argument) for vote in order21]
    lead = sum(1 if first else -1 for first, _ in arguments)
    return next((argument for first, argument in arguments if lead == 0 or first == (lead > 0)), None)


def _named(pair: Pair, principle: Principle, order: str, text: str) -> Prompt:
    """A prompt whose name gives its answers noise of their own.

    The text is part of it: asked by the negated principle or in other words, a judge that knows nothing would otherwise
    repeat itself, and look as if it stayed at what it said.
    """
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
    return replace(pair.prompt, id=f"{pair.id} {principle.name} {order} {digest}")
