"""How a text looks to a tokenizer that forgives much: the folded text, in which markers are searched.

Tokenizers differ in what they overlook: case, accents, compatibility forms, control characters, spaces around
punctuation, line breaks. A `View` is one such way of looking. It folds character by character, so that a place in the
folded text leads back to a place in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import accumulate

#: what begins a new line, to some reader
SEPARATORS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
#: spaces and separators that are control characters to others, which drop them
DROPPED_BY_SOME = "\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029"
#: casefold leaves it, regular expressions and Turkish do not
_DOTLESS_I = "ı"
#: SentencePiece's visible space
_VISIBLE_SPACE = "▁"
_MOST = 50_000
_SIGNS = [chr(code) for code in range(33, 127) if not chr(code).isalnum()]
#: all pairs of ASCII signs
PAIRS = "a".join(one + other for one in _SIGNS for other in _SIGNS)

Normalize = Callable[[str], str]


class View(dict[int, str | None]):
    """A table for `str.translate`, filled as characters are met.

    Args:
        normalize: what the tokenizer's normalizer makes of a text; None where it has none.
        spaces: whether spaces around punctuation make a difference.
        lines: whether a line break is more than a space.
        separators: whether the rarer separators are line breaks or spaces; else nothing at all.

    Attributes:
        contextual: whether the normalizer makes something else of two signs together than of each alone.
    """

    def __init__(
        self,
        normalize: Normalize | None = None,
        *,
        spaces: bool = True,
        lines: bool = True,
        separators: bool = True,
    ):
        super().__init__()
        self.normalize, self.spaces, self.lines = normalize, spaces, lines
        self._separators = separators
        self._before = "" if normalize is None else normalize("a")
        self.contextual = normalize is not None and self.fold(normalize(PAIRS)).strip() != self.fold(PAIRS)

    def __missing__(self, code: int) -> str | None:
        if len(self) >= _MOST:
            self.clear()
        character = chr(code)
        found = "".join(map(self._folded, self._normalized(character))) or None
        self[code] = found
        return found

    def fold(self, text: str) -> str:
        """The text as it is searched."""
        return text.translate(self)

    def ends(self, text: str) -> list[int]:
        """Where in the folded text the share of each character ends."""
        return list(accumulate(len(self[ord(character)] or "") for character in text))

    def is_as(self, other: View) -> bool:
        """Whether ASCII looks the same in both."""
        same = all(self[code] == other[code] for code in range(128))
        return same and (self.spaces, self.lines) == (other.spaces, other.lines)

    def _normalized(self, character: str) -> str:
        if self.normalize is None or unicodedata.category(character) == "Cs":
            return character
        # Between letters, since some normalizers put a space before a text or strip its ends.
        found = self.normalize(f"a{character}a")
        if found.startswith(self._before) and found.endswith("a") and len(found) > len(self._before):
            return found[len(self._before) : -1]
        return character

    def _folded(self, character: str) -> str:
        if not self._separators and character in DROPPED_BY_SOME:
            return ""
        if character in SEPARATORS:
            return "\n" if self.lines else " "
        if character == _VISIBLE_SPACE or character.isspace():
            return " "
        text = character
        for _ in range(2):
            text = unicodedata.normalize("NFKD", text).casefold()
        text = text.replace(_DOTLESS_I, "i").replace("\ufffd", "")
        # Marks, control and format characters, private and unassigned ones: some tokenizer drops each of them.
        kept = (each for each in text if each.isspace() or unicodedata.category(each)[0] not in "CM")
        return "".join(" " if each.isspace() else each for each in kept)


def pattern(folded: str, view: View) -> str:
    """A regular expression for a folded marker in texts folded by this view."""
    if view.spaces:
        # Some tokenizers make one space of many.
        return " +".join(map(re.escape, re.split(" +", folded)))
    # Words are kept apart by spaces or punctuation; spaces beside punctuation make no difference.
    pieces = re.findall(r"\w+|[^\w\s]", folded)
    parts = []
    for index, piece in enumerate(pieces):
        if index:
            both_words = piece[0].isalnum() and pieces[index - 1][-1].isalnum()
            parts.append(r"\s+" if both_words else r"\s*")
        parts.append(re.escape(piece))
    return "".join(parts)
