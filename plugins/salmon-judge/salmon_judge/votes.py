"""Verdicts at the ends of arguments: asked for, read strictly, and counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from salmon_core.errors import SalmonError
from salmon_core.kit.verdicts import bare, closing
from salmon_core.records import Completion

_QUESTION = """\
Go by this principle alone. First argue, in two or three sentences: how far does each response follow it? Point to what
the responses say, and give nothing for length, tone or agreement with you unless the principle is about that. Then
close with one line that holds the verdict and nothing else. It is
Verdict: {a}
if {a} follows the principle better, and
Verdict: {b}
if {b} does. Choose one of them even where they are close.
"""


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer with a verdict.

    Attributes:
        first: whether it is for the response shown first.
        argument: what stands before the verdict.
    """

    first: bool
    argument: str


class Ballot:
    """How a template's choices are asked for, and found again.

    Args:
        choices: for the response shown first, and for the other.

    Raises:
        SalmonError: in an answer nobody could tell them apart.
    """

    def __init__(self, choices: tuple[str, str]):
        first, second = map(bare, choices)
        if not first or not second or first == second:
            raise SalmonError(
                f"the template's choices {choices[0]!r} and {choices[1]!r} cannot be told apart in an answer",
                hint="use a template whose choices are two different words or letters",
            )
        self._choices = {first: True, second: False}
        self.question = _QUESTION.replace("{a}", choices[0].strip()).replace("{b}", choices[1].strip())

    def read(self, answer: Completion) -> Vote | None:
        """The vote; None where the answer was cut off, or its last line is no verdict."""
        found = closing(answer, "verdict")
        first = self._choices.get(found.verdict) if found else None
        return None if found is None or first is None else Vote(first, found.argument)


def log_odds(votes: Sequence[Vote]) -> float:
    """What votes say for the response shown first: log((a + 1/2) / (b + 1/2)); 0 of none.

    Log-odds, as those of the paper's judge, whose difference of logits they estimate: so labellers see one unit. Half a
    vote on each side keeps them finite where all agree, and is what takes away most of their bias in small numbers.
    """
    first = sum(vote.first for vote in votes)
    return math.log((first + 0.5) / (len(votes) - first + 0.5))
