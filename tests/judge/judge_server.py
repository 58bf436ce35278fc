"""A real HTTP server on this machine that judges by length, and fails as servers do."""

from __future__ import annotations

import json
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from local_server import LocalServer


class JudgeServer(LocalServer):
    """Scores how much longer `a` is than `b`, in characters.

    Attributes:
        busy: the first request about these prompts is answered with 429 and `Retry-After: 1`.
        drop: the first request about these prompts is not answered; the connection is closed.
    """

    def __init__(self, *, busy: tuple[str, ...] = (), drop: tuple[str, ...] = (), hold_after: int | None = None):
        super().__init__(_Handler, hold_after=hold_after)
        self.busy, self.drop = set(busy), set(drop)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/judge"

    def times(self, request: str) -> list[float]:
        """When a request came in."""
        return [when for when, text in self.asked if text == request]


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
