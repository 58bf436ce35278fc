"""Which of two answers is likelier, from what an endpoint tells of its first token, or by votes."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from salmon_openai.wire import Answer

Pair = tuple[float, float]

_log = logging.getLogger("salmon")
_WORD = re.compile(r"\W*(\w+)")


@dataclass
class Silence:
    """Counts what said nothing.

    Attributes:
        texts: that were asked about.
        unlisted: of them, those with neither choice among the likeliest tokens.
        votes: answers sampled.
        unread: of them, those that do not begin with a choice.
    """

    texts: int = 0
    unlisted: int = 0
    votes: int = 0
    unread: int = 0

    def warn(self, where: str) -> None:
        """Says how many, once for all of a call."""
        if self.unlisted:
            message = "%s: for %d of %d texts neither choice is among the likeliest tokens, so nothing is known of them"
            _log.warning(message, where, self.unlisted, self.texts)
        if self.unread:
            message = "%s: %d of %d sampled answers do not begin with a choice, and are left out"
            _log.warning(message, where, self.unread, self.votes)


def listed(top: Sequence[tuple[str, float]], choices: tuple[str, str], silence: Silence) -> Pair:
    """The choices' log-probabilities; of one that is not listed the least listed one, which it cannot be above.

    With and without a space before it, a choice is the same, so their probabilities add up.
    """
    found: dict[str, float] = {}
    for token, value in top:
        name = token.removeprefix(" ")
        found[name] = value if name not in found else _sum(found[name], value)
    least = min(value for _, value in top)
    silence.unlisted += not any(choice in found for choice in choices)
    first, second = (found.get(choice, least) for choice in choices)
    return first, second


def exactly(top: Sequence[tuple[str, float]], names: tuple[frozenset[str], frozenset[str]], silence: Silence) -> Pair:
    """The same for choices that are known as tokens, by what an endpoint may call them."""
    least = min(value for _, value in top)
    found = [max((value for token, value in top if token in each), default=None) for each in names]
    silence.unlisted += found == [None, None]
    first, second = (least if value is None else value for value in found)
    return first, second


def voted(answers: Sequence[Answer], choices: tuple[str, str], begun: str, silence: Silence) -> Pair:
    """The choices' log-probabilities from sampled answers, half a vote added to each; unread ones are left out.

    Args:
        begun: what the answers were to go on from; some endpoints repeat it.
    """
    texts = ((answer.text or "").strip().removeprefix(begun.strip()) for answer in answers)
    votes = [choice for text in texts if (choice := vote(text, choices)) is not None]
    silence.votes += len(answers)
    silence.unread += len(answers) - len(votes)
    first, second = (math.log((votes.count(choice) + 0.5) / (len(votes) + 1)) for choice in choices)
    return first, second


def vote(text: str, choices: tuple[str, str]) -> str | None:
    """The choice that is the first word of an answer; None where it is another word."""
    match = _WORD.match(text)
    return match[1] if match and match[1] in choices else None


def _sum(one: float, other: float) -> float:
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high))
