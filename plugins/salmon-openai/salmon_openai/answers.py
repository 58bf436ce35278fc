"""Answers of an endpoint on disk, and what they took."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from salmon_core.errors import SalmonError

_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS usage (url TEXT, model TEXT, requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,"
    " completion_tokens INTEGER NOT NULL, PRIMARY KEY (url, model))",
)
_COUNT = (
    "INSERT INTO usage VALUES (?, ?, 1, ?, ?) ON CONFLICT (url, model) DO UPDATE SET requests = requests + 1,"
    " prompt_tokens = prompt_tokens + excluded.prompt_tokens,"
    " completion_tokens = completion_tokens + excluded.completion_tokens"
)


@dataclass(frozen=True)
class Usage:
    """What requests took."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Answers:
    """Answers as JSON texts by key, and usage by endpoint and model, in one SQLite file; for many threads.

    An answer and what it took are committed together before `put` returns, and the file is written ahead (WAL), so a
    process that is killed loses neither.

    Args:
        path: None keeps both in memory.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> str | None:
        """The answer, or None where there is none."""
        with self._open() as file:
            row = file.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def put(self, key: str, answer: str | None, url: str, model: str, usage: Usage) -> None:
        """Keeps an answer, and counts what it took; None: the answer is of no use, but was paid for."""
        with self._open() as file:
            file.execute("BEGIN IMMEDIATE")
            try:
                if answer is not None:
                    file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))
                file.execute(_COUNT, (url, model, usage.prompt_tokens, usage.completion_tokens))
            except BaseException:
                file.execute("ROLLBACK")
                raise
            file.execute("COMMIT")

    def usage(self, url: str, model: str) -> Usage:
        """What this model at this endpoint took, in all processes that kept it here."""
        with self._open() as file:
            wanted = "SELECT requests, prompt_tokens, completion_tokens FROM usage WHERE url = ? AND model = ?"
            row = file.execute(wanted, (url, model)).fetchone()
        return Usage() if row is None else Usage(*map(int, row))

    def close(self) -> None:
        """Closes the file; whatever is asked later opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connected()
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise SalmonError(
                    f"the cache of answers cannot be used: {error}",
                    where=str(self.path),
                    hint="if the file is damaged, move it away; what it held is asked for again",
                ) from None

    def _connected(self) -> sqlite3.Connection:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # Without an isolation level, transactions are those that are begun here.
        name = ":memory:" if self.path is None else self.path
        connection = sqlite3.connect(name, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            for table in _TABLES:
                connection.execute(table)
        except BaseException:
            connection.close()
            raise
        return connection
