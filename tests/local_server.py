"""A real HTTP server on this machine, in a thread for as long as its context lasts."""

from __future__ import annotations

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class LocalServer(ThreadingHTTPServer):
    """Keeps count of what it is asked.

    Args:
        handler: of requests.
        hold_after: from so many answers on, requests wait for `release` before they are answered.

    Attributes:
        asked: (seconds, request) of everything that came in, as canonical JSON.
        answered: requests that were answered whole, by the same JSON.
        most: requests in work at the same time, the most there were.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, hold_after: int | None = None):
        super().__init__(("127.0.0.1", 0), handler)
        self.hold_after = hold_after
        self.asked: list[tuple[float, str]] = []
        self.answered: Counter[str] = Counter()
        self.most = self.working = 0
        self.lock, self.release = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no news."""
