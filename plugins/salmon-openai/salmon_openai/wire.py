"""What an endpoint's replies say, read strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: None where there is none.
        finish: why it ended, in the endpoint's word.
        top: the likeliest first tokens with their log-probabilities; None where the endpoint gives none.
    """

    text: str | None
    finish: str | None
    top: tuple[tuple[str, float], ...] | None = None

    @property
    def withheld(self) -> bool:
        """Whether it is no answer: filtered, or without a text."""
        return self.finish == "content_filter" or self.text is None

    def to_json(self) -> str:
        """For the cache."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Answer:
        """Raises ValueError, TypeError or KeyError where it is none."""
        values = json.loads(text)
        top = values["top"]
        return cls(
            values["text"],
            values["finish"],
            None if top is None else tuple((str(token), float(value)) for token, value in top),
        )


class MalformedError(Exception):
    """A reply that is not what the API says it is."""


def parsed(body: bytes) -> Mapping[str, Any]:
    """A reply's JSON object.

    Raises:
        MalformedError: it is none.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("the reply is no JSON") from None
    if not isinstance(values, dict):
        raise MalformedError("the reply is no JSON object")
    return values


def answer_in(reply: Mapping[str, Any]) -> Answer:
    """The one answer in a reply of either API.

    Raises:
        MalformedError: there is none.
    """
    choices = reply.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
        raise MalformedError(f"the reply has no single choice{_complaint(reply)}")
    choice = choices[0]
    if "message" in choice:
        message = choice["message"]
        if not isinstance(message, dict):
            raise MalformedError("the reply's message is no object")
        text = message.get("content")
    elif "text" in choice:
        text = choice["text"]
    else:
        raise MalformedError("the reply's choice has neither a message nor a text")
    finish = choice.get("finish_reason")
    if text is not None and not isinstance(text, str):
        raise MalformedError("the reply's text is no text")
    if finish is not None and not isinstance(finish, str):
        raise MalformedError("the reply's finish_reason is no text")
    # A lone surrogate, which JSON can write, could neither be kept nor sent.
    clean = None if text is None else text.encode("utf-8", "replace").decode()
    return Answer(clean, finish, _top(choice.get("logprobs")))


def tokens_in(reply: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Tokens of prompt and completion, as far as the endpoint counts them."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return None, None
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def complaint_in(body: bytes) -> str:
    """What a server that refuses says, in a few words."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        return _short(body.decode("utf-8", "replace"))
    error = values.get("error", values) if isinstance(values, dict) else values
    said = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    return _short(said if isinstance(said, str) else json.dumps(said))


def _complaint(reply: Mapping[str, Any]) -> str:
    return f": {complaint_in(json.dumps(reply).encode())}" if "error" in reply else ""


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 300 else f"{words[:300]}..."


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _top(logprobs: Any) -> tuple[tuple[str, float], ...] | None:
    """The first token's alternatives: a list of the chat API, or a mapping of the completions API."""
    if not isinstance(logprobs, dict):
        return None
    content, lists = logprobs.get("content"), logprobs.get("top_logprobs")
    pairs: list[tuple[Any, Any]] = []
    if isinstance(content, list) and content and isinstance(content[0], dict):
        first = content[0].get("top_logprobs")
        for each in first if isinstance(first, list) else ():
            if isinstance(each, dict):
                pairs.append((each.get("token"), each.get("logprob")))
    elif isinstance(lists, list) and lists and isinstance(lists[0], dict):
        pairs += lists[0].items()
    top = tuple(
        (token, float(value))
        for token, value in pairs
        if isinstance(token, str) and isinstance(value, int | float) and math.isfinite(value)
    )
    return top or None
