"""The client of a reward server, for any process; the standard library is all it needs.

client = RewardClient.from_ready_file("runs/minnow/services/reward.json")
client.score([{"prompt": "Say hello.", "completion": "Hello!"}])
"""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from salmon_core.errors import SalmonError

#: a trainer's step finds the ready file of its reward service in this variable
READY_VARIABLE = "SALMON_REWARD_SERVICE"
#: rollouts in a request at most
_MAX_ROLLOUTS = 256
#: statuses after which the same request may succeed
_RETRIED = (429, 503)


class RewardServerError(SalmonError):
    """The server refused, or could not be reached.

    Attributes:
        status: of HTTP; 0 where there was no answer.
        component: of the reward that failed, and the `owner` it comes from; empty where none did.
    """

    def __init__(self, message: str, *, status: int = 0, where: str = "", hint: str | None = None, **names: str):
        super().__init__(message, where=where or None, hint=hint)
        self.status, self.component, self.owner = status, names.get("component", ""), names.get("owner", "")


class RewardClient:
    """Scores rollouts; may be used from several threads, each of which gets a connection of its own.

    Args:
        url: of the server, like http://127.0.0.1:8000.
        token: its token.
        timeout: seconds for one answer.
        patience: seconds to go on trying while the server is busy, stopping or not to be reached. Every rollout has an
            id, so a repeated one is computed once.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 600.0, patience: float = 300.0):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RewardServerError("is no http:// or https:// address", where=url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        host, port = parts.hostname, parts.port
        self.url = url
        self._open: Callable[[], http.client.HTTPConnection] = lambda: kind(host, port, timeout=timeout)
        self._path, self._patience, self._local = parts.path.rstrip("/"), patience, threading.local()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    @classmethod
    def from_ready_file(cls, path: str | os.PathLike[str] | None = None, **options: float) -> RewardClient:
        """By the file a server writes when it is ready; without `path`, the one named by SALMON_REWARD_SERVICE.

        Raises:
            RewardServerError: there is no such file.
        """
        name = os.fspath(path) if path is not None else os.environ.get(READY_VARIABLE, "")
        try:
            values = json.loads(Path(name).read_text(encoding="utf-8"))
            return cls(values["url"], values["token"], **options)
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"is no ready file of a reward server: {type(error).__name__}"
            raise RewardServerError(message, where=name or READY_VARIABLE, hint="is the server running?") from None

    def score(self, rollouts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One breakdown per rollout, in order: the fields of `salmon_core.records.RewardBreakdown`.

        Args:
            rollouts: by row (`row`, `completion_ids`, `stopped`) or free (`prompt` or `messages`, `completion`); those
                without an `id` get one.

        Raises:
            RewardServerError: refused, or out of patience.
        """
        named = [{"id": uuid.uuid4().hex, **rollout} for rollout in rollouts]
        found: list[dict[str, Any]] = []
        for start in range(0, len(named), _MAX_ROLLOUTS):
            part = named[start : start + _MAX_ROLLOUTS]
            rewards = self._request({"rollouts": part}).get("rewards", [])
            if [reward.get("id") for reward in rewards] != [rollout["id"] for rollout in part]:
                raise RewardServerError("answered other rollouts than those of the request", where=self.url)
            found += rewards
        return found

    def _request(self, values: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(values).encode()
        deadline, pause = time.monotonic() + self._patience, 0.2
        while True:
            try:
                status, headers, answer = self._post(body)
                if status == 200:
                    return dict(json.loads(answer))
                problem, wait = _problem(status, answer, self.url), _seconds(headers.get("Retry-After"))
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, wait = 0, None
                problem = RewardServerError(f"no answer: {type(error).__name__}: {error}", where=self.url)
            if (status and status not in _RETRIED) or time.monotonic() > deadline:
                raise problem
            time.sleep(pause if wait is None else wait)
            pause = min(2 * pause, 5.0)

    def _post(self, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open()
        try:
            connection.request("POST", f"{self._path}/v1/rewards", body, self._headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except BaseException:
            connection.close()
            self._local.connection = None
            raise


def _problem(status: int, answer: bytes, url: str) -> RewardServerError:
    try:
        detail = {key: str(value) for key, value in json.loads(answer)["error"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        detail = {"message": answer[:200].decode(errors="replace") or "no reason given"}
    where = ", ".join(filter(None, [url, detail.pop("where", "")]))
    names = {key: detail[key] for key in ("component", "owner") if key in detail}
    message = " of ".join(names.values()) + (": " if names else "") + detail["message"]
    return RewardServerError(f"{message} (HTTP {status})", status=status, where=where, hint=detail.get("hint"), **names)


def _seconds(text: str | None) -> float | None:
    return min(float(text), 60.0) if text is not None and text.isdigit() else None
