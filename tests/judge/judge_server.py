"""A real HTTP server on this machine that judges by length, and fails as servers do."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class JudgeServer(ThreadingHTTPServer):
    """Scores how much longer `a` is than `b`, in characters.

    Attributes:
        asked: (seconds, request) of everything that came in, as canonical JSON.
        answered: requests that were answered with a score at once.
        most: requests in work at the same time, the most there were.
        busy: the first request about these prompts is answered with 429 and `Retry-After: 1`.
        drop: the first request about these prompts is not answered; the connection is closed.
        hold_after: from so many answers on, requests wait for `release` before they are answered.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *, busy: tuple[str, ...] = (), drop: tuple[str, ...] = (), hold_after: int | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.busy, self.drop, self.hold_after = set(busy), set(drop), hold_after
        self.asked: list[tuple[float, str]] = []
        self.answered: Counter[str] = Counter()
        self.most = self.working = 0
        self.lock, self.release = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/judge"

    def times(self, request: str) -> list[float]:
        """When a request came in."""
        return [when for when, text in self.asked if text == request]

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


class _Handler(BaseHTTPRequestHandler):
    server: JudgeServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text, prompt, server = json.dumps(request, sort_keys=True), request["prompt"], self.server
        with server.lock:
            server.asked.append((time.monotonic(), text))
            server.working += 1
            server.most = max(server.most, server.working)
            dropped, busy = prompt in server.drop, prompt in server.busy
            server.drop.discard(prompt)
            server.busy -= set() if dropped else {prompt}
            held = server.hold_after is not None and sum(server.answered.values()) >= server.hold_after
            if not (dropped or busy or held):
                server.answered[text] += 1
        try:
            time.sleep(0.02)
            if held:
                server.release.wait()
        finally:
            with server.lock:  # before the answer: whoever has it may ask again at once
                server.working -= 1
        if dropped:
            self.close_connection = True
        elif busy:
            self._reply(429, {"error": "too many requests"}, {"Retry-After": "1"})
        elif "forbidden" in prompt:
            self._reply(400, {"error": "no"}, {})
        else:
            score = len(request["a"]) - len(request["b"])
            reason = f"By {abs(score)} characters, says {request['principle']!r}"
            self._reply(200, {"score": score, "reason": reason}, {})

    def _reply(self, code: int, values: dict[str, Any], headers: dict[str, str]) -> None:
        body = json.dumps(values).encode()
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *values: Any) -> None:
        """Tests read what the server counts."""
