"""Between HTTP and the scoring thread: admits requests and waits for answers; never blocks the event loop."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from salmon_core.errors import SalmonError
from salmon_core.records import RewardBreakdown, Rollout
from salmon_core.serving.answers import Answers, Conflict, digest_of, key_of
from salmon_core.serving.intake import Intake, Refused
from salmon_core.serving.metrics import Metrics
from salmon_core.serving.schemas import Item
from salmon_core.serving.scorer import Failed, Outcome, Scorer, Ticket


class Refusal(Exception):
    """An answer that is no reward: status, what to say, headers."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **detail: str | None):
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        self.body = {"error": {"message": message} | {k: v for k, v in detail.items() if v}}


def refusal_of(error: SalmonError, place: str = "") -> Refusal:
    """How an outcome that is no breakdown is answered."""
    if isinstance(error, Failed):
        return Refusal(500, error.message, component=error.component, owner=error.owner, hint=error.hint)
    where = ".".join(filter(None, [place, error.where]))
    return Refusal(422, error.message, where=where, hint=error.hint)


class Desk:
    """Admits rollouts to the scorer.

    Attributes:
        stopping: whether new requests are refused.
        active: requests being answered.
    """

    def __init__(self, scorer: Scorer, answers: Answers, metrics: Metrics):
        self.scorer, self.answers, self.metrics = scorer, answers, metrics
        self.stopping, self.active = False, 0
        self._numbers = itertools.count()
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether everything accepted has been answered."""
        return not self.active and not self.scorer.pending

    def check_open(self) -> None:
        """
        Raises:
            Refusal: the reward has failed for good, or the server is stopping.
        """
        if self.scorer.failure is not None:
            raise refusal_of(self.scorer.failure)
        if self.stopping:
            headers = {"Retry-After": "5", "Connection": "close"}
            raise Refusal(503, "the server is stopping and takes no new requests", headers=headers)

    async def score(self, items: Sequence[Item]) -> list[bytes]:
        """One JSON answer per item, in order. All are admitted, or none is.

        Raises:
            Refusal: an id was used for something else, the queue is full, or an item cannot be scored.
        """
        self.check_open()
        answers = self._admit(items)
        if waiting := {answer for answer in answers if isinstance(answer, asyncio.Future)}:
            # `wait` leaves the futures alone if this client goes: another may wait for the same id.
            await asyncio.wait(waiting)
        found = []
        for index, answer in enumerate(answers):
            try:
                found.append(answer if isinstance(answer, bytes) else answer.result())
            except SalmonError as error:
                raise refusal_of(error, f"rollouts[{index}]") from None
        return found

    def _admit(self, items: Sequence[Item]) -> list[asyncio.Future[bytes] | bytes]:
        """No `await` in here: what is looked up stays true until it is entered."""
        marks = [(key_of(item), digest_of(item)) for item in items]
        known: list[asyncio.Future[bytes] | bytes | None] = []
        fresh: dict[bytes, tuple[bytes, Item]] = {}
        for index, (item, (key, digest)) in enumerate(zip(items, marks, strict=True)):
            try:
                known.append(self.answers.find(key, digest))
                if known[-1] is None and fresh.setdefault(key, (digest, item))[0] != digest:
                    raise Conflict
            except Conflict:
                raise Refusal(
                    409, f"the id {item.id!r} was used for something else", where=f"rollouts[{index}].id"
                ) from None
        if fresh and not self.scorer.has_room(len(fresh)):
            wait = self.scorer.wait_hint()
            raise Refusal(429, f"{self.scorer.queued} rollouts are waiting already", headers={"Retry-After": str(wait)})
        number = next(self._numbers)
        futures = {key: self.answers.expect(key, digest) for key, (digest, _) in fresh.items()}
        tickets = [
            Ticket(number, partial(_rollout, item=item), partial(self._settle, key, item.id))
            for key, (_, item) in fresh.items()
        ]
        if tickets:
            self.scorer.submit(tickets)
        for _ in range(len(items) - len(tickets)):
            self.metrics.repeated()
        return [futures[key] if answer is None else answer for answer, (key, _) in zip(known, marks, strict=True)]

    def _settle(self, key: bytes, identifier: str, outcome: Outcome) -> None:
        self._freed.set()
        if isinstance(outcome, SalmonError):
            self.answers.fail(key, outcome)
            return
        self.metrics.scored(outcome)
        self.answers.settle(key, json.dumps(described(identifier, outcome), separators=(",", ":")).encode())

    async def score_held(
        self, make: Callable[[Intake], Rollout], gone: Callable[[], Awaitable[bool]]
    ) -> RewardBreakdown | None:
        """One rollout, for a client that cannot be told to come later: it waits in line until the queue has room.

        Args:
            make: the rollout.
            gone: whether the client has given up.

        Returns:
            None if the client went before it was its turn.
        """
        async with self._line:  # first come, first served
            while True:
                self.check_open()
                self._freed.clear()
                if self.scorer.has_room(1):
                    break
                if await gone():
                    return None
                try:
                    await asyncio.wait_for(self._freed.wait(), 1.0)
                except TimeoutError:
                    continue
            answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

            def deliver(outcome: Outcome) -> None:
                self._freed.set()
                if isinstance(outcome, RewardBreakdown):
                    self.metrics.scored(outcome)
                if not answer.done():
                    answer.set_result(outcome)

            self.scorer.submit([Ticket(next(self._numbers), make, deliver)])
        outcome = await answer
        if isinstance(outcome, SalmonError):
            raise refusal_of(outcome)
        return outcome


def _rollout(intake: Intake, item: Item) -> Rollout:
    return intake.rollout(item)


def described(identifier: str, breakdown: RewardBreakdown) -> dict[str, Any]:
    """A breakdown as `schemas.RewardOut`."""
    return {
        "id": identifier,
        "total": breakdown.total,
        "components": dict(breakdown.components),
        "raw": dict(breakdown.raw),
        "principles": list(breakdown.principles),
        "truncated": breakdown.truncated,
        "fallbacks": list(breakdown.fallbacks),
    }


__all__ = ["Desk", "Refusal", "Refused", "described", "refusal_of"]
