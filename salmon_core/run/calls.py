"""Calls to an API: so many at once, again where a failure may pass, and none for what is known already."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

from salmon_core.api.judge import TryAgain
from salmon_core.calls import alive
from salmon_core.data.json import canonical
from salmon_core.errors import SalmonError, StageError
from salmon_core.rng import named_rng

T = TypeVar("T")

#: seconds before the second attempt, doubled with each further one, and the most
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0


class Answers:
    """A cache on disk: answers as JSON texts by key, in one SQLite file.

    Each answer is committed before `put` returns, and the file is written ahead (WAL), so a process that is killed
    loses none. The file is made when it is first needed.
    """

    def __init__(self, path: Path):
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def get(self, key: str) -> str | None:
        """The answer, or None where there is none."""
        row = self._execute("SELECT answer FROM answers WHERE key = ?", key).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, answer: str) -> None:
        """Keeps an answer."""
        self._execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", key, answer)

    def close(self) -> None:
        """Closes the file; a later `get` or `put` opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _execute(self, statement: str, *values: str) -> sqlite3.Cursor:
        try:
            if self._connection is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # Without an isolation level every statement is a transaction of its own.
                self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"
                )
            return self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise SalmonError(
                f"the cache of answers cannot be used: {error}",
                where=str(self.path),
                hint="if the file is damaged, move it away; what it held is asked for again",
            ) from None


class Calls:
    """Calls within one event loop.

    Args:
        who: makes the calls, for messages: the plugin and its component.
        identity: of the caller, JSON-ready; part of every key.
        answers: those known already.
        concurrency: calls at once.
        attempts: per call, the first one included.
        seed: of the waits' jitter.
    """

    def __init__(
        self, who: str, identity: Mapping[str, Any], answers: Answers, *, concurrency: int, attempts: int, seed: int
    ):
        self._who, self._identity, self._answers = who, identity, answers
        self._attempts, self._seed = attempts, seed
        self._limit = asyncio.Semaphore(concurrency)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, request: Mapping[str, Any], action: Callable[[], Awaitable[T]]) -> T:
        """The answer to a request, as it is after a way through JSON: the same whether new or known.

        Raises:
            StageError: all attempts failed.
            TypeError, ValueError: the request or the answer cannot be written as JSON.
        """
        key = hashlib.sha256(canonical({**self._identity, "request": request}).encode()).hexdigest()
        # Of equal requests at the same time the first one asks, and the others find its answer.
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._answers.get(key)
            if known is None:
                # A call that waits for its next attempt keeps its place, so that a server in trouble is asked less.
                async with self._limit:
                    known = json.dumps(await self._attempt(key, action), allow_nan=False)
                self._answers.put(key, known)
        return cast(T, json.loads(known))

    async def _attempt(self, key: str, action: Callable[[], Awaitable[T]]) -> T:
        jitter = named_rng(self._seed, "call", key)
        for attempt in range(1, self._attempts + 1):
            try:
                answer = await action()
                alive()
                return answer
            except (TryAgain, TimeoutError, ConnectionError) as error:
                if attempt == self._attempts:
                    raise StageError(
                        f"gave up after {attempt} {'attempt' if attempt == 1 else 'attempts'}:"
                        f" {type(error).__name__}: {error}".rstrip(": "),
                        where=self._who,
                        hint="run again later: answers so far are kept; or raise judge.attempts,"
                        " or lower judge.concurrency",
                    ) from error
                await asyncio.sleep(_wait(error, attempt, jitter))
        raise AssertionError("there is at least one attempt")


def _wait(error: Exception, attempt: int, jitter: Random) -> float:
    """Seconds until the next attempt."""
    backoff: float = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1))
    asked = error.after if isinstance(error, TryAgain) else None
    if asked is None or not math.isfinite(asked):
        return backoff * (0.5 + 0.5 * jitter.random())
    # Never sooner than the server asked for, and not all at once.
    return max(0.0, asked) + 0.1 * backoff * jitter.random()
