"""Tokenizers of models behind a chat API: turns that can be told apart, and texts between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from salmon_core.errors import SalmonError
from salmon_core.records import Message

if TYPE_CHECKING:
    from salmon_core.kit.hf import HFCodec

ROLES = ("system", "user", "assistant")
#: private: no model sees them; they lead from a rendered text back to the messages it was made of
_MARKERS = {role: f"<|salmon:{role}|>" for role in ROLES}
_END = "<|salmon:end|>"
_TURN = re.compile("|".join(f"({re.escape(marker)})" for marker in _MARKERS.values()))

_CHUNK = re.compile(r"[\x00-\x7f]{1,4}|[^\x00-\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
#: ids: special tokens, then characters by their code point, then chunks of ASCII to the base of `_BASE`
_CHARACTERS, _CHUNKS, _BASE = 16, 1 << 21, 129


def shown(messages: Sequence[Message]) -> str:
    """A conversation with its private markers, up to where the answer begins.

    Raises:
        SalmonError: a role that the API has no message for.
    """
    if odd := sorted({message["role"] for message in messages} - set(ROLES)):
        raise SalmonError(
            f"the conversation has turns of {', '.join(odd)}, for which the chat API has no message",
            hint=f"use the roles {', '.join(ROLES)}",
        )
    return "".join(_MARKERS[m["role"]] + m["content"] for m in messages) + _MARKERS["assistant"]


def messages_of(text: str) -> list[Message]:
    """The conversation in a rendered text; what follows the last marker of the assistant begins its answer.

    A text without markers is what the user says.
    """
    text = _SURROGATE.sub("\ufffd", text)
    found = list(_TURN.finditer(text))
    if not found:
        return [Message(role="user", content=text)]
    ends = [match.start() for match in found[1:]] + [len(text)]
    messages = [
        Message(role=ROLES[match.lastindex - 1 if match.lastindex else 0], content=text[match.end() : end])
        for match, end in zip(found, ends, strict=True)
    ]
    if before := text[: found[0].start()]:
        messages.insert(0, Message(role="user", content=before))
    if messages[-1] == Message(role="assistant", content=""):
        messages.pop()
    return messages


class _Turns:
    """What codecs with private markers share: these are special tokens, and their ids come first or last.

    Args:
        specials: by text, their ids.
    """

    own_chat = True
    bos_token: str | None = None

    def __init__(self, specials: dict[str, int]):
        self._specials = specials
        self._texts = {number: text for text, number in specials.items()}
        self._split = re.compile(f"({'|'.join(map(re.escape, specials))})")

    def chat(self, messages: Sequence[Message]) -> str:
        """The conversation with its private markers, up to where the answer begins."""
        return shown(messages)

    def _encoded(self, text: str, encode: Callable[[str], list[int]]) -> list[int]:
        ids: list[int] = []
        for part in self._split.split(text):
            ids += [self._specials[part]] if part in self._specials else encode(part) if part else []
        return ids

    def _decoded(self, ids: Sequence[int], decode: Callable[[list[int]], str], skip_special: bool) -> str:
        parts = []
        for special, group in groupby(ids, self._texts.__contains__):
            run = list(group)
            if not special:
                parts.append(decode(run))
            elif not skip_special:
                parts += [self._texts[number] for number in run]
        return "".join(parts)


class ChunkCodec(_Turns):
    """Reversible without a model: a token is up to four ASCII characters, or another character.

    Lengths are estimates of what a model counts; ids mean nothing to a model. They fit into 31 bits.
    """

    eos_token, eos_id = _END, 0
    max_length: int | None = None
    special_tokens: tuple[str, ...] = (_END, *_MARKERS.values())
    added_tokens = special_tokens

    def __init__(self) -> None:
        super().__init__({text: number for number, text in enumerate(self.special_tokens)})

    def encode(self, text: str) -> list[int]:
        """-> ids; special tokens written in the text are parsed, none is added."""
        return self._encoded(_SURROGATE.sub("\ufffd", text), lambda part: [_number(c) for c in _CHUNK.findall(part)])

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """-> the very text that was encoded."""
        return self._decoded(ids, lambda run: "".join(map(_chunk, run)), skip_special)


class TurnCodec(_Turns):
    """A model's own tokenizer for the texts, and private markers for the turns.

    Args:
        inner: the tokenizer.
    """

    def __init__(self, inner: HFCodec):
        self.inner = inner
        first = max(len(inner.tokenizer), inner.eos_id + 1)
        super().__init__({marker: first + number for number, marker in enumerate(_MARKERS.values())})
        self.eos_token, self.eos_id, self.max_length = inner.eos_token, inner.eos_id, inner.max_length
        self.special_tokens = (*inner.special_tokens, *_MARKERS.values())
        self.added_tokens = (*inner.added_tokens, *_MARKERS.values())
        self.normalize = inner.normalize

    def encode(self, text: str) -> list[int]:
        """-> ids; special tokens written in the text are parsed, none is added."""
        return self._encoded(text, self.inner.encode)

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """-> text, as the tokenizer has it."""
        return self._decoded(ids, lambda run: self.inner.decode(run, skip_special=skip_special), skip_special)


def _number(chunk: str) -> int:
    if not chunk.isascii():
        return _CHARACTERS + ord(chunk)
    value = 0
    for character in chunk:
        value = value * _BASE + ord(character) + 1
    return _CHUNKS + value


def _chunk(number: int) -> str:
    if number < _CHUNKS:
        code = number - _CHARACTERS
        return chr(code) if 0 <= code < 0x110000 else "\ufffd"
    characters, value = [], number - _CHUNKS
    while value:
        value, digit = divmod(value, _BASE)
        characters.append(chr(digit - 1) if digit else "\ufffd")
    return "".join(reversed(characters))
