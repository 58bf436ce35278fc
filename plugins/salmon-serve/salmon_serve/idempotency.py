"""Answers by the id of what was asked: a retry gets the same bytes and costs nothing."""

from __future__ import annotations

import asyncio
from hashlib import blake2b

from salmon_serve.schemas import Item

_DIGEST = 16


class IdConflictError(Exception):
    """An id was used for other content before."""


def key_of(item: Item) -> bytes:
    """The cache's key of an item: a digest of its id, which may be long."""
    return blake2b(item.id.encode(), digest_size=_DIGEST).digest()


def digest_of(item: Item) -> bytes:
    """A digest of an item's content without its id."""
    return blake2b(item.model_dump_json(exclude={"id"}).encode(), digest_size=_DIGEST).digest()


class IdempotencyCache:
    """Answers being computed, and the latest ones given. Used in the event loop only.

    Args:
        max_answers: that are kept.
        max_bytes: of their JSON; whichever limit is reached first.
    """

    def __init__(self, max_answers: int = 100_000, max_bytes: int = 64 << 20):
        self._max_answers, self._max_bytes, self._bytes = max_answers, max_bytes, 0
        self._finished: dict[bytes, bytes] = {}  # digest and answer as one object: a third of the memory of a tuple
        self._pending: dict[bytes, tuple[bytes, asyncio.Future[bytes]]] = {}

    def __len__(self) -> int:
        return len(self._finished)

    def find(self, key: bytes, digest: bytes) -> asyncio.Future[bytes] | bytes | None:
        """The answer, the future of one being computed, or None.

        Raises:
            IdConflictError: the id was used for other content.
        """
        if (pending := self._pending.get(key)) is not None:
            if pending[0] != digest:
                raise IdConflictError
            return pending[1]
        if (finished := self._finished.get(key)) is None:
            return None
        if finished[:_DIGEST] != digest:
            raise IdConflictError
        return finished[_DIGEST:]

    def expect(self, key: bytes, digest: bytes) -> asyncio.Future[bytes]:
        """A future that `finish` or `fail` completes."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pending[key] = (digest, future)
        return future

    def finish(self, key: bytes, answer: bytes) -> None:
        """Gives the answer to all who wait, and keeps it."""
        digest, future = self._pending.pop(key)
        self._finished[key] = digest + answer
        self._bytes += len(answer)
        while len(self._finished) > self._max_answers or self._bytes > self._max_bytes:
            oldest = next(iter(self._finished))
            self._bytes -= len(self._finished.pop(oldest)) - _DIGEST
        future.set_result(answer)

    def fail(self, key: bytes, error: Exception) -> None:
        """Gives the error to all who wait, and forgets the id, so that a retry is computed again."""
        _, future = self._pending.pop(key)
        future.set_exception(error)
        future.exception()  # marks it as retrieved: whoever waited may have gone, which is no reason for a warning
