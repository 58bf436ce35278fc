"""Untrusted texts made safe and cut to so many tokens; tokens of trusted ones counted."""

from __future__ import annotations

from typing import NamedTuple

from salmon_core.api.models import TokenCodec
from salmon_core.reward.markers import SLOT
from salmon_core.reward.sanitizer import Sanitizer

_MOST = 4096


class Part(NamedTuple):
    """An untrusted text made safe.

    Attributes:
        tokens: at most so many.
        cut: tokens dropped.
        doubtful: whether the ids are to be looked at.
    """

    text: str
    tokens: int
    cut: int
    doubtful: bool


class Fitter:
    """Counts and cuts by one tokenizer.

    Args:
        codec: of the model that reads the texts.
        sanitizer: makes untrusted texts safe.
    """

    def __init__(self, codec: TokenCodec, sanitizer: Sanitizer):
        self._codec, self._text = codec, sanitizer
        self._counts: dict[str, int] = {}

    def cut(self, text: str, limit: int, *, keep_end: bool = False) -> Part:
        """The text made safe, in at most `limit` tokens."""
        text, doubtful = self._text.examine(text)
        # A token is at least one byte, of the text as the tokenizer normalises it: only ASCII never grows by that.
        if text.isascii() and len(text) <= limit:
            return Part(text, len(text), 0, doubtful)
        ids = self._codec.encode(text)
        if len(ids) <= limit:
            return Part(text, len(ids), 0, doubtful)
        for keep in range(limit, 0, -1):
            kept, doubtful = self._text.examine(
                self._codec.decode(ids[-keep:] if keep_end else ids[:keep]).strip("\ufffd")
            )
            # Cut in the middle of a character or a word, a text can need another token or two.
            if (needed := len(self._codec.encode(kept))) <= limit:
                return Part(kept, needed, len(ids) - keep, doubtful)
        return Part("", 0, len(ids), False)

    def fixed(self, pattern: str) -> int:
        """Tokens of a template's text; its pieces are counted apart, as contents of any length keep them apart."""
        return sum(self.count(piece) for piece in SLOT.split(pattern)[::2])

    def count(self, trusted: str) -> int:
        """Tokens of a part that recurs: template texts and principles."""
        if trusted not in self._counts:
            if len(self._counts) >= _MOST:
                self._counts.clear()
            self._counts[trusted] = len(self._codec.encode(trusted))
        return self._counts[trusted]
