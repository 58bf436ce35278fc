"""Requests to an endpoint: so many at once, again where a failure may pass, and none for what is known already."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from salmon_core.calls import alive, part
from salmon_core.data.json import canonical
from salmon_core.errors import SalmonError, StageError
from salmon_core.rng import named_rng
from salmon_openai import wire
from salmon_openai.answers import Answers, Usage
from salmon_openai.options import Options
from salmon_openai.waiting import PassingError, asked_for, delay

if TYPE_CHECKING:
    import httpx

#: bytes of a reply; no answer comes near
_LONGEST_REPLY = 64 << 20
#: a wait gives a sign of life so often, in seconds
_SIGN = 2.0
_HINTS = {
    401: "set the environment variable {variable} to a key that this endpoint knows",
    403: "the key may not do this; see what it is allowed, or name another model",
    404: "see whether base_url is right (mostly it ends in /v1) and the endpoint has a model of this name",
    413: "shorten prompts, or lower the limits of the configuration",
}
_REFUSED = "see what the endpoint says; `extra` puts keys into a request, and null leaves one out"


class RefusedError(SalmonError):
    """The endpoint says that the request itself is wrong (400 or 422)."""


class _StoppedError(Exception):
    """Another request failed for good."""


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        what: is asked for, for messages.
        body: without what the options add.
        sample: number among requests with the same body.
        tokens: in the prompt, as we count them; for endpoints that do not.
    """

    what: str
    body: Mapping[str, Any]
    sample: int = 0
    tokens: Callable[[], int] = lambda: 0


class Endpoint:
    """One model at an endpoint.

    Args:
        model: its name there.
        count: tokens in a text, as we count them.

    Raises:
        SalmonError: there is no key.
    """

    def __init__(self, options: Options, model: str, count: Callable[[str], int]):
        self._options, self.model, self._count = options, model, count
        self.url = options.base_url + ("/chat/completions" if options.api == "chat" else "/completions")
        self.where = f"{self.url}, model {model!r}"
        self._key = options.key()
        self._answers = Answers(options.cache)
        self._client: httpx.Client | None = None
        self._stop = threading.Event()
        self._counting = threading.Lock()  # tokenizers are not made for many threads

    def close(self) -> None:
        """Closes connections and the cache; may be called more than once."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._answers.close()

    def ask(self, asks: Sequence[Ask]) -> list[wire.Answer]:
        """The answers, in order. Each is kept as it comes, whatever becomes of the others.

        Raises:
            RefusedError: the endpoint takes no such request.
            StageError: all attempts failed.
            SalmonError: the endpoint lets us not in; the cost limit is reached.
        """
        keys = [self._identity(each) for each in asks]
        todo = dict(zip(keys, asks, strict=True))  # of equal requests one is asked
        found = {key: answer for key in todo if (answer := self._known(key)) is not None}
        missing = {key: ask for key, ask in todo.items() if key not in found}
        if missing:
            self._opened()
            with ThreadPoolExecutor(min(self._options.concurrency, len(missing))) as pool:
                futures: dict[Future[wire.Answer], str] = {}
                try:
                    for key, ask in missing.items():
                        futures[pool.submit(self._worked, key, ask)] = key
                    for future in as_completed(futures):
                        found[futures[future]] = future.result()
                        part(len(found) / len(todo))
                except BaseException as error:
                    # Those under way come to their end, so that what is paid for is kept.
                    self._stop.set()
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise _cause(futures, error) from None
                finally:
                    self._stop.clear()
        return [found[key] for key in keys]

    def _body(self, ask: Ask) -> dict[str, Any]:
        body = {"model": self.model, **ask.body, **self._options.extra}
        return {key: value for key, value in body.items() if value is not None}

    def _identity(self, ask: Ask) -> str:
        values = {"url": self.url, "model": self.model, "body": self._body(ask), "sample": ask.sample}
        return hashlib.sha256(canonical(values).encode("utf-8", "replace")).hexdigest()

    def _known(self, key: str) -> wire.Answer | None:
        if self._options.cache is None:
            return None
        known = self._answers.get(key)
        try:
            return None if known is None else wire.Answer.from_json(known)
        except (ValueError, TypeError, KeyError):
            return None

    def _worked(self, key: str, ask: Ask) -> wire.Answer:
        """In a thread of the pool: where it fails, the others begin nothing more."""
        try:
            return self._fetched(key, ask)
        except BaseException:
            self._stop.set()
            raise

    def _fetched(self, key: str, ask: Ask) -> wire.Answer:
        jitter = named_rng(0, "openai", key)
        attempts = self._options.attempts
        for attempt in range(1, attempts + 1):
            if self._stop.is_set():
                raise _StoppedError
            self._afford()
            try:
                reply = wire.parsed(self._replied(ask))
                answer = wire.answer_in(reply)
            except (PassingError, wire.MalformedError) as error:
                alive()
                if attempt == attempts:
                    times = "attempt" if attempt == 1 else "attempts"
                    raise StageError(
                        f"gave up on {ask.what} after {attempt} {times}: {self._safe(str(error))}",
                        where=self.where,
                        hint="run again later, with a `cache` for what is answered already; or raise `attempts`,"
                        " or lower `concurrency`",
                    ) from None
                after = error.after if isinstance(error, PassingError) else None
                self._rest(delay(attempt, after, jitter))
            else:
                alive()
                usage = self._usage(ask, reply, answer)
                # What is withheld may be given another time, so it is not kept; it was paid for all the same.
                useless = answer.withheld and answer.top is None
                kept = None if useless or self._options.cache is None else answer.to_json()
                self._answers.put(key, kept, self.url, self.model, usage)
                return answer
        raise AssertionError("there is at least one attempt")

    def _usage(self, ask: Ask, reply: Mapping[str, Any], answer: wire.Answer) -> Usage:
        """What a request took; where the endpoint does not count, as many as we do."""
        prompt, completion = wire.tokens_in(reply)
        with self._counting:
            prompt = ask.tokens() if prompt is None else prompt
            completion = self._count(answer.text or "") if completion is None else completion
        return Usage(1, prompt, completion)

    def _rest(self, seconds: float) -> None:
        """Waits in its place, so that an endpoint in trouble is asked less."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stop.wait(min(left, _SIGN)):
                raise _StoppedError
            alive()

    def _afford(self) -> None:
        options = self._options
        if options.max_cost is None:
            return
        usage = self._answers.usage(self.url, self.model)
        price_in, price_out = options.price_in or 0.0, options.price_out or 0.0
        cost = (usage.prompt_tokens * price_in + usage.completion_tokens * price_out) / 1e6
        if cost > options.max_cost:
            raise SalmonError(
                f"{usage.requests} requests have cost {cost:.6g}, which is over max_cost: {options.max_cost:g}",
                where=self.where,
                hint="answers so far are kept; raise max_cost to go on",
            )

    def _replied(self, ask: Ask) -> bytes:
        """The body of a reply with status 200.

        Raises:
            PassingError: another attempt may help.
            SalmonError: none does.
        """
        import httpx

        client, deadline = self._opened(), time.monotonic() + self._options.timeout
        # Escapes keep a lone surrogate in a text writable.
        content = json.dumps(self._body(ask)).encode()
        try:
            with client.stream("POST", self.url, content=content) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if time.monotonic() > deadline:
                        raise PassingError(f"no whole reply within {self._options.timeout:g} s")
                    if len(body) > _LONGEST_REPLY:
                        raise PassingError("the reply has no end")
        except httpx.TimeoutException:
            raise PassingError(f"no reply within {self._options.timeout:g} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise PassingError(f"{type(error).__name__}: {error}".rstrip(": ")) from None
        if response.status_code != 200:
            self._refuse(ask, response.status_code, response.headers.get("Retry-After"), bytes(body))
        return bytes(body)

    def _refuse(self, ask: Ask, status: int, after: str | None, body: bytes) -> None:
        said = self._safe(wire.complaint_in(body)) or "nothing more"
        if status in (408, 429) or (status >= 500 and status not in (501, 505)):
            raise PassingError(f"status {status}: {said}", asked_for(after))
        kind = RefusedError if status in (400, 422) else SalmonError
        variable = self._options.key_variable or "of key_variable"
        raise kind(
            f"refuses {ask.what} with status {status}: {said}",
            where=self.where,
            hint=_HINTS.get(status, _REFUSED).format(variable=variable),
        )

    def _opened(self) -> httpx.Client:
        if self._client is None:
            import httpx

            headers = {"Content-Type": "application/json"}
            if self._key is not None:
                headers["Authorization"] = f"Bearer {self._key}"
            # A proxy of the environment is for other machines.
            limits = httpx.Limits(max_connections=self._options.concurrency)
            self._client = httpx.Client(
                headers=headers, timeout=self._options.timeout, limits=limits, trust_env=not self._options.loopback
            )
        return self._client

    def _safe(self, text: str) -> str:
        """Without the key, should a server repeat it."""
        return text if self._key is None else text.replace(self._key, "[key]")


def _cause(futures: Iterable[Future[wire.Answer]], error: BaseException) -> BaseException:
    """The failure itself, not that another request was stopped because of it."""
    if not isinstance(error, _StoppedError):
        return error
    ended = (future.exception() for future in futures if future.done() and not future.cancelled())
    return next((each for each in ended if each is not None and not isinstance(each, _StoppedError)), error)
