"""A real HTTP server that speaks both of OpenAI's APIs, says what a hash says, and fails as servers do."""

from __future__ import annotations

import hashlib
import json
import math
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from random import Random
from typing import Any, Literal

from local_server import LocalServer

WORDS = ("red", "green", "blue", "small", "quick", "slow", "warm", "house", "tree", "river", "stone", "fish", "cloud")


class OpenAIServer(LocalServer):
    """A token is up to four characters.

    Attributes:
        key: that a request has to bring; a wrong one is repeated in the refusal.
        logprobs: whether they are given, left out, or refused with 400.
        most_top: alternatives that are given; more are refused with 400.
        counts: whether replies say how many tokens they took.
        trouble: words to what becomes of the requests with them, one after the other: `busy` (429, one second), `date`
            (503 with an HTTP date), `drop`, `half` (of a reply), `garbage`, `slow`, or a status.
        says: words to the reply's choice for every request with them, in place of what the hash says.
    """

    def __init__(
        self,
        *,
        key: str | None = None,
        logprobs: Literal["give", "drop", "refuse"] = "give",
        most_top: int = 20,
        counts: bool = True,
        trouble: dict[str, list[str | int]] | None = None,
        says: dict[str, dict[str, Any]] | None = None,
        hold_after: int | None = None,
    ):
        super().__init__(_Handler, hold_after=hold_after)
        self.key, self.logprobs, self.most_top, self.counts = key, logprobs, most_top, counts
        self.trouble, self.says = trouble or {}, says or {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The requests, in the order in which they came."""
        return [json.loads(text)["body"] for _, text in self.asked]

    def choice(self, text: str, body: dict[str, Any]) -> dict[str, Any]:
        """What is said to a request: its `text`, `finish_reason`, and what else is not from the log-probabilities."""
        said = next((each for word, each in self.says.items() if word in text), None)
        return _choice(body) if said is None else dict(said)


class _Handler(BaseHTTPRequestHandler):
    server: OpenAIServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text, server = json.dumps({"path": self.path, "body": body}, sort_keys=True), self.server
        with server.lock:
            server.asked.append((time.monotonic(), text))
            server.working += 1
            server.most = max(server.most, server.working)
            trouble = next((each.pop(0) for word, each in server.trouble.items() if each and word in text), None)
            held = server.hold_after is not None and server.answered.total() >= server.hold_after
            status, headers, reply = self._reply(text, body) if trouble is None else _failure(trouble)
            if status == 200 and trouble is None and not held:
                server.answered[text] += 1
        try:
            time.sleep(0.002)
            if held:
                server.release.wait()
            if trouble == "slow":
                time.sleep(2.5)
        finally:
            with server.lock:  # before the answer: whoever has it may ask again at once
                server.working -= 1
        if trouble == "drop":
            self.close_connection = True
            return
        self.send_response(status)
        written = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(written)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(written[: len(written) // 2] if trouble == "half" else written)
        self.close_connection = trouble == "half"

    def _reply(self, text: str, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        server = self.server
        sent = self.headers.get("Authorization", "")
        if server.key is not None and sent != f"Bearer {server.key}":
            return 401, {}, {"error": {"message": f"Incorrect API key provided: {sent}"}}
        chat = self.path == "/v1/chat/completions"
        if not chat and self.path != "/v1/completions":
            return 404, {}, {"error": {"message": "no such path"}}
        if body["model"] != "served":
            return 404, {}, {"error": {"message": f"The model `{body['model']}` does not exist."}}
        if unknown := body.keys() - _KNOWN:
            return 400, {}, {"error": {"message": f"unknown keys {sorted(unknown)}"}}
        top = body.get("top_logprobs" if chat else "logprobs")
        if top and (server.logprobs == "refuse" or top > server.most_top):
            return 400, {}, {"error": {"message": "logprobs are not supported"}}
        choice = server.choice(text, body)
        said = choice.pop("text")
        choice |= {"message": {"role": "assistant", "content": said}} if chat else {"text": said}
        if top and server.logprobs == "give":
            choice["logprobs"] = _logprobs(body, chat, top)
        reply: dict[str, Any] = {"object": "completion", "model": "served", "choices": [choice]}
        if server.counts:
            reply["usage"] = {"prompt_tokens": 10, "completion_tokens": 5}
        return 200, {}, reply

    def log_message(self, *values: Any) -> None:
        """Tests read what the server counts."""


_KNOWN = {
    *("model", "messages", "prompt", "temperature", "top_p", "max_tokens", "stop", "seed"),
    *("logprobs", "top_logprobs", "top_k"),
}


def _failure(kind: str | int) -> tuple[int, dict[str, str], Any]:
    if kind == "busy":
        return 429, {"Retry-After": "1"}, {"error": {"message": "slow down"}}
    if kind == "date":
        return 503, {"Retry-After": formatdate(time.time() + 2, usegmt=True)}, b"loading"
    if isinstance(kind, int):
        return kind, {}, {"error": {"message": "something is wrong here"}}
    return 200, {}, b'{"choices": [{"text": '


def share(shown: Any) -> float:
    """The probability of the choice `a` after messages or ids, 0.05 to 0.95."""
    digest = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).digest()
    return 0.05 + 0.9 * int.from_bytes(digest[:4], "big") / 2**32


def _shown(body: dict[str, Any]) -> Any:
    return body.get("messages", body.get("prompt"))


def _choice(body: dict[str, Any]) -> dict[str, Any]:
    rng = Random(json.dumps([_shown(body), body.get("seed")]))
    if body["max_tokens"] == 16 and body.get("stop") is None and "seed" in body and body["temperature"] == 1.0:
        word = "a" if rng.random() < share(_shown(body)) else "b"
        return {"text": rng.choice([word, f"({word})", f" {word}.", "Neither of them."]), "finish_reason": "stop"}
    text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 20)))
    for stop in body.get("stop") or ():
        text = text.partition(stop)[0]
    room = body["max_tokens"]
    whole = -(-len(text) // 4) < room
    return {"text": text if whole else text[: 4 * room], "finish_reason": "stop" if whole else "length"}


def _logprobs(body: dict[str, Any], chat: bool, top: int) -> dict[str, Any]:
    """`a` with and without a space, which share its probability, `b`, and others."""
    p = 0.9 * share(_shown(body))
    listed = {"a": 0.75 * p, " a": 0.25 * p, "b": 0.9 - p, "The": 0.06, "\n": 0.04}
    if "unlisted" in json.dumps(_shown(body)):
        listed = {"The": 0.9, "\n": 0.04, "a": 0.06}
    pairs = [(token, math.log(value)) for token, value in listed.items()][:top]
    if chat:
        tokens = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in pairs]
        return {"content": [{"token": "a", "logprob": pairs[0][1], "top_logprobs": tokens}]}
    return {"tokens": ["a"], "token_logprobs": [pairs[0][1]], "top_logprobs": [dict(pairs)]}
