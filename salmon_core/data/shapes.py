"""Conversations in the shapes that data sets have: ours, TRL's, ShareGPT's, and HH-RLHF's transcripts.

A list of turns is one of `{role, content}` or of ShareGPT's `{from, value}`, where its first turn decides; in a file of
texts only, such as CSV, it is written as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from salmon_core.data.readers import parse_json
from salmon_core.errors import DataError
from salmon_core.records import Message

ROLES = ("system", "user", "assistant")
#: ShareGPT's words for them
_SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}
_HUMAN = "\n\nHuman:"
_SPOKEN = re.compile(r"\n\n(Human|Assistant):")


def conversation(value: Any, where: str) -> tuple[Message, ...]:
    """The turns of a conversation in any of its shapes; contents as they are.

    Raises:
        DataError: it has none, or one of another shape.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = parse_json(value)
        except ValueError as error:
            raise DataError(f"a conversation is a list of turns, written as JSON; this {error}", where=where) from None
    if not isinstance(value, list | tuple) or not value or not all(isinstance(turn, Mapping) for turn in value):
        raise DataError("a conversation is a list of {role, content} or {from, value}", where=where)
    return tuple(_turn(turn, where) for turn in value)


def _turn(turn: Mapping[str, Any], where: str) -> Message:
    if turn.get("role") is None and turn.get("from") is not None:
        speaker, content = turn["from"], turn.get("value")
        role = _SPEAKERS.get(speaker.lower()) if isinstance(speaker, str) else None
        wanted = "{from: human | gpt | system, value: TEXT}"
    else:
        role, content = turn.get("role"), _written(turn.get("content"))
        wanted = f"{{role: {' | '.join(ROLES)}, content: TEXT}}"
    if role not in ROLES or not isinstance(content, str):
        raise DataError(f"a turn is {wanted}, not {dict(turn)!r:.80}", where=where)
    return {"role": role, "content": content}


def _written(content: Any) -> Any:
    """Parts that are all text, put together."""
    if isinstance(content, list | tuple) and content and all(isinstance(part, Mapping) for part in content):
        texts = [part.get("text") for part in content if part.get("type") == "text"]
        if len(texts) == len(content) and all(isinstance(text, str) for text in texts):
            return "".join(map(str, texts))
    return content


def is_conversation(value: Any) -> bool:
    """Whether a cell is a list of turns rather than a text; a list that is none is refused where it is read."""
    return isinstance(value, list | tuple)


def transcript(text: str) -> tuple[Message, ...] | None:
    """A conversation of HH-RLHF, `\\n\\nHuman: ...\\n\\nAssistant: ...` in one text; None where the text is none."""
    if not text.startswith(_HUMAN):
        return None
    parts = _SPOKEN.split(text)[1:]
    roles = ["user" if speaker == "Human" else "assistant" for speaker in parts[::2]]
    return tuple({"role": role, "content": said.strip()} for role, said in zip(roles, parts[1::2], strict=True))


def without_answer(messages: Sequence[Message]) -> tuple[tuple[Message, ...], str | None]:
    """A conversation up to the user's last turn, and the assistant's turn behind it, where there is one."""
    if messages and messages[-1]["role"] == "assistant":
        return tuple(messages[:-1]), messages[-1]["content"]
    return tuple(messages), None


def shared_turns(one: Sequence[Message], other: Sequence[Message]) -> int:
    """With how many equal turns two conversations begin."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
