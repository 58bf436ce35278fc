"""What was answered, by request id: a retry gets the same bytes and costs nothing."""

from __future__ import annotations

import asyncio
from hashlib import blake2b

from salmon_core.serving.schemas import Item

_DIGEST = 16


class Conflict(Exception):
    """The id was used for other content."""


def key_of(item: Item) -> bytes:
    """An id's place in the memory."""
    return blake2b(item.id.encode(), digest_size=_DIGEST).digest()


def digest_of(item: Item) -> bytes:
    """What an item asks, its id apart."""
    return blake2b(item.model_dump_json(exclude={"id"}).encode(), digest_size=_DIGEST).digest()


class Answers:
    """Answers being computed, and the latest ones given. Used in the event loop only.

    Args:
        most: answers kept.
        most_bytes: of their JSON; whichever is reached first.
    """

    def __init__(self, most: int = 100_000, most_bytes: int = 64 << 20):
        self._most, self._most_bytes, self._bytes = most, most_bytes, 0
        self._given: dict[bytes, bytes] = {}  # digest and answer as one object: a third of the memory of a tuple
        self._awaited: dict[bytes, tuple[bytes, asyncio.Future[bytes]]] = {}

    def __len__(self) -> int:
        return len(self._given)

    def find(self, key: bytes, digest: bytes) -> asyncio.Future[bytes] | bytes | None:
        """The answer, the future of one being computed, or None.

        Raises:
            Conflict: the id was used for something else.
        """
        if (entry := self._awaited.get(key)) is not None:
            if entry[0] != digest:
                raise Conflict
            return entry[1]
        if (given := self._given.get(key)) is None:
            return None
        if given[:_DIGEST] != digest:
            raise Conflict
        return given[_DIGEST:]

    def expect(self, key: bytes, digest: bytes) -> asyncio.Future[bytes]:
        """A future that `settle` or `fail` completes."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._awaited[key] = (digest, future)
        return future

    def settle(self, key: bytes, answer: bytes) -> None:
        """Gives the answer to all who wait, and keeps it."""
        digest, future = self._awaited.pop(key)
        self._given[key] = digest + answer
        self._bytes += len(answer)
        while len(self._given) > self._most or self._bytes > self._most_bytes:
            oldest = next(iter(self._given))
            self._bytes -= len(self._given.pop(oldest)) - _DIGEST
        future.set_result(answer)

    def fail(self, key: bytes, error: Exception) -> None:
        """Gives the error to all who wait, and forgets the id: asked again, it is computed again."""
        _, future = self._awaited.pop(key)
        future.set_exception(error)
        future.exception()  # whoever waited may have gone, which is no reason for a warning
