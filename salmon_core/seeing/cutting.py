"""A completion without the phrases that an alarm is about: what the same answer would be, had it not said them."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: a sentence with what ends it and the space behind it
_SENTENCE = re.compile(r"[^.!?。！？…\n]*[.!?。！？…\n]*\s*")
#: a phrase that is so much of its sentence goes with all of it
_MOST = 0.5


def without(text: str, phrases: Iterable[str]) -> str | None:
    """The text without these phrases; None where it has none of them, or nothing is left.

    A sentence of which a phrase is half or more goes as a whole; of a longer one only the phrase.
    """
    # The longest first: one phrase may be a part of another.
    wanted = [re.escape(each) for each in sorted({each for each in phrases if each}, key=len, reverse=True)]
    if not wanted:
        return None
    pattern = re.compile("|".join(wanted))
    kept = "".join(_cut(sentence, pattern) for sentence in _SENTENCE.findall(text)).strip()
    return kept if kept and kept != text.strip() else None


def _cut(sentence: str, pattern: re.Pattern[str]) -> str:
    gone = sum(len(each) for each in pattern.findall(sentence))
    if not gone:
        return sentence
    if gone >= _MOST * len(sentence.strip()):
        return ""
    # With the comma behind it, which would stand alone.
    return re.sub(rf"(?:{pattern.pattern})[,;:]?\s*", "", sentence)
