"""Judges: which of two completions follows a principle better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from salmon_core.api.models import Chooser, PrefixRequest, Sampler
from salmon_core.api.principles import Principle
from salmon_core.api.templates import Template
from salmon_core.records import Judgment, Pair, ShownPrinciple

T = TypeVar("T")


class TryAgain(Exception):
    """Raised by what `JudgeContext.call` calls: it failed in a way that passes.

    Args:
        after: seconds to wait, as a server asked for; None leaves it to salmon.
    """

    def __init__(self, message: str = "", *, after: float | None = None):
        super().__init__(message)
        self.after = after


class JudgeContext(Protocol):
    """What a judge may use. Nothing is opened before it is asked for."""

    @property
    def seed(self) -> int:
        """The run's."""

    @property
    def template(self) -> Template:
        """How a judge is asked."""

    @property
    def chooser(self) -> Chooser:
        """The configured model (`judge.model`, by default the policy), opened by `judge.engine` on first use."""

    @property
    def sampler(self) -> Sampler:
        """The same, to be sampled from; closes the chooser."""

    def render(self, pair: Pair, principles: Sequence[ShownPrinciple]) -> tuple[PrefixRequest, PrefixRequest]:
        """The texts for a chooser: one request per order (1 first, 2 first), one suffix per principle."""

    def ask(
        self, pair: Pair, principles: Sequence[ShownPrinciple], question: str, *, room: int = 0
    ) -> tuple[PrefixRequest, PrefixRequest]:
        """The texts for a sampler: as `render`, but with a question of the judge's own, up to where the answer begins.

        Args:
            question: comes after the principle, and in a conversation ends the user's turn; trusted text, not empty,
                best with a line break at its end.
            room: tokens that the answer may have, which are kept free where the model takes texts of a limited length.

        Raises:
            SalmonError: no room, or the ids have another structure than with plain contents.
        """

    async def call(self, request: Mapping[str, Any], action: Callable[[], Awaitable[T]]) -> T:
        """Calls an API: so many at once as `judge.concurrency`, again where it fails and that may pass (TryAgain,
        TimeoutError, ConnectionError), and not at all where the run's cache on disk has the answer.

        Args:
            request: all that decides the answer, JSON-ready: the cache's key, with the judge's own name and options.
            action: makes the answer, JSON-ready.
        """


class Judge(ABC):
    """Judges pairs of completions, principle by principle.

    Attributes:
        reads_principles: whether it goes by the principles' texts, so that it can be asked by negated ones to see
            whether it turns round; not where it looks answers up by a principle's name.
        calls: answers that it asks a model or an API for, for each pair, principle and order; 0 where it asks nobody.
            Only for the counts of `salmon plan`.

    One that knows nothing of pairs that are made up, such as one that reads a file, may have
    `check(principles: Sequence[Principle]) -> None`, which raises SalmonError for whatever will fail. `salmon check`
    calls it; judges without are asked about a made-up pair instead.

    Where prompts bring principles of their own, `judge` is called once for all pairs of the same principles. One that
    can ask about all at once may have `judge_each(items: Sequence[tuple[Pair, Sequence[Principle]]], context)`, which
    returns one judgment for each pair and each of its principles, in that order.
    """

    reads_principles: bool = True
    calls: int = 1

    @abstractmethod
    def judge(
        self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext
    ) -> Sequence[Judgment] | Awaitable[Sequence[Judgment]]:
        """Judges every pair under every principle, in both orders; may be `async`.

        Returns:
            one judgment per pair and principle: pairs in order, principles in order within a pair.
        """
