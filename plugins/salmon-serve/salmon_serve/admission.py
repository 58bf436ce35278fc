"""Between HTTP and the scoring thread: admits requests and waits for answers; never blocks the event loop."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from fastapi import HTTPException

from salmon_core.errors import SalmonError
from salmon_core.records import RewardBreakdown, Rollout
from salmon_serve.decoding import Decoder
from salmon_serve.idempotency import IdConflictError, IdempotencyCache, digest_of, key_of
from salmon_serve.metrics import Metrics
from salmon_serve.schemas import Item, RowItem
from salmon_serve.scorer import Outcome, RewardFailedError, Scorer, WorkItem


class RequestError(HTTPException):
    """A request that gets no reward: its status, and what `error` in the body says."""

    def __init__(self, status: int, message: str, *, headers: Mapping[str, str] | None = None, **detail: str | None):
        given = {key: value for key, value in detail.items() if value}
        super().__init__(status, {"message": message, **given}, dict(headers or {}))


def error_of(error: SalmonError, place: str = "") -> RequestError:
    """How an outcome that is no breakdown is answered."""
    if isinstance(error, RewardFailedError):
        return RequestError(500, error.message, component=error.component, owner=error.owner, hint=error.hint)
    where = ".".join(filter(None, [place, error.where]))
    return RequestError(422, error.message, where=where, hint=error.hint)


class Admission:
    """Admits rollouts to the scorer.

    Attributes:
        stopping: whether new requests are refused.
    """

    def __init__(self, scorer: Scorer, cache: IdempotencyCache, metrics: Metrics):
        self.scorer, self._cache, self._metrics = scorer, cache, metrics
        self.stopping, self._active = False, 0
        self._numbers = itertools.count()
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether everything accepted has been answered."""
        return not self._active and not self.scorer.pending

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    def check_open(self) -> None:
        """
        Raises:
            RequestError: the reward has failed for good, or the server is stopping.
        """
        if self.scorer.failure is not None:
            raise error_of(self.scorer.failure)
        if self.stopping:
            headers = {"Retry-After": "5", "Connection": "close"}
            raise RequestError(503, "the server is stopping and takes no new requests", headers=headers)

    async def score(self, items: Sequence[Item]) -> list[bytes]:
        """One JSON answer per item, in order. All are admitted, or none is.

        Raises:
            RequestError: an id was used for other content, the queue is full, or an item cannot be scored.
        """
        self.check_open()
        with self._answering():
            answers = self._admit(items)
            if waiting := {answer for answer in answers if isinstance(answer, asyncio.Future)}:
                # `wait` leaves the futures alone if this client goes: another may wait for the same id.
                await asyncio.wait(waiting)
            found = []
            for index, answer in enumerate(answers):
                try:
                    found.append(answer if isinstance(answer, bytes) else answer.result())
                except SalmonError as error:
                    raise error_of(error, f"rollouts[{index}]") from None
            return found

    def _admit(self, items: Sequence[Item]) -> list[asyncio.Future[bytes] | bytes]:
        """No `await` in here: what is looked up stays true until it is entered."""
        keys = [(key_of(item), digest_of(item)) for item in items]
        known: list[asyncio.Future[bytes] | bytes | None] = []
        fresh: dict[bytes, tuple[bytes, Item]] = {}
        for index, (item, (key, digest)) in enumerate(zip(items, keys, strict=True)):
            try:
                known.append(self._cache.find(key, digest))
                if known[-1] is None and fresh.setdefault(key, (digest, item))[0] != digest:
                    raise IdConflictError
            except IdConflictError:
                raise RequestError(
                    409, f"the id {item.id!r} was used for something else", where=f"rollouts[{index}].id"
                ) from None
        if fresh and not self.scorer.has_room(len(fresh)):
            headers = {"Retry-After": str(self.scorer.retry_after())}
            raise RequestError(429, f"{self.scorer.queued} rollouts are waiting already", headers=headers)
        number = next(self._numbers)
        futures = {key: self._cache.expect(key, digest) for key, (digest, _) in fresh.items()}
        work = [
            WorkItem(
                number,
                partial(_decode, item),
                partial(self._settle, key, item.id),
                row=item.row if isinstance(item, RowItem) else None,
                explain=item.explain,
            )
            for key, (_, item) in fresh.items()
        ]
        if work:
            self.scorer.submit(work)
        self._metrics.repeated(len(items) - len(work))
        return [futures[key] if answer is None else answer for answer, (key, _) in zip(known, keys, strict=True)]

    def _settle(self, key: bytes, identifier: str, outcome: Outcome) -> None:
        self._freed.set()
        if isinstance(outcome, SalmonError):
            self._cache.fail(key, outcome)
            return
        self._metrics.scored(outcome)
        self._cache.finish(key, json.dumps(described(identifier, outcome), separators=(",", ":")).encode())

    async def score_in_turn(
        self, decode: Callable[[Decoder], Rollout], disconnected: Callable[[], Awaitable[bool]]
    ) -> RewardBreakdown | None:
        """One rollout, for a client that cannot be told to come later: it waits in turn until the queue has room.

        Args:
            decode: makes the rollout.
            disconnected: whether the client has given up.

        Returns:
            None if the client went before it was its turn.

        Raises:
            RequestError: the rollout cannot be scored, or no more is scored.
        """
        with self._answering():
            async with self._turn:  # first come, first served
                while True:
                    self.check_open()
                    self._freed.clear()
                    if self.scorer.has_room(1):
                        break
                    if await disconnected():
                        return None
                    try:
                        await asyncio.wait_for(self._freed.wait(), 1.0)
                    except TimeoutError:
                        continue
                answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
                self.scorer.submit([WorkItem(next(self._numbers), decode, partial(self._deliver, answer))])
            outcome = await answer
            if isinstance(outcome, SalmonError):
                raise error_of(outcome)
            return outcome

    def _deliver(self, answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
        self._freed.set()
        if isinstance(outcome, RewardBreakdown):
            self._metrics.scored(outcome)
        if not answer.done():
            answer.set_result(outcome)


def _decode(item: Item, decoder: Decoder) -> Rollout:
    return decoder.rollout(item)


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
        "by_principle": dict(breakdown.by_principle),
        "shares": dict(breakdown.shares),
        "left_out": dict(breakdown.left_out),
        "vetoed": list(breakdown.vetoed),
        "interventions": list(breakdown.interventions),
    }
