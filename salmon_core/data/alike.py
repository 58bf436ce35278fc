"""Texts that say nearly the same in nearly the same words."""

from __future__ import annotations

import math
import re
import unicodedata
from itertools import pairwise

#: words; where a script has no spaces between them, each of its characters is one
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def words_of(text: str) -> list[str]:
    """The words of a text, without what makes no difference to a reader: case, signs, Unicode's spellings."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def features(text: str) -> frozenset[tuple[str, ...]]:
    """Words, and pairs of neighbouring words."""
    words = words_of(text)
    return frozenset([*((word,) for word in words), *pairwise(words)])


def similarity(one: str, other: str) -> float:
    """Share of words and pairs of neighbouring words that two texts have in common (Jaccard), from 0 to 1."""
    a, b = features(one), features(other)
    return len(a & b) / len(a | b) if a or b else 1.0


class Alike:
    """Texts that were seen, looked up by similarity.

    Two sets with a Jaccard similarity of at least s share one of the first n - ceil(s n) + 1 of n elements, in any one
    order of all elements; so only texts that share one of those are compared (prefix filtering, Chaudhuri et al. 2006).

    Args:
        least: the similarity from which on two texts are alike; None: only where their words are equal.
    """

    def __init__(self, least: float | None):
        self._least = 1.0 if least is None else least
        self._equal = least is None
        self._words: set[tuple[str, ...]] = set()
        self._seen: list[frozenset[tuple[str, ...]]] = []
        self._first: dict[tuple[str, ...], list[int]] = {}

    def same(self, text: str) -> bool:
        """Whether a text with the same words in the same order was added."""
        return tuple(words_of(text)) in self._words

    def near(self, text: str) -> bool:
        """Whether one was added that is alike."""
        if self._equal or self.same(text):
            return self.same(text)
        own = features(text)
        places = {place for each in self._prefix(own) for place in self._first.get(each, ())}
        return any(len(own & self._seen[p]) >= self._least * len(own | self._seen[p]) for p in places)

    def add(self, text: str) -> None:
        """Remembers a text."""
        self._words.add(tuple(words_of(text)))
        if self._equal:
            return
        own = features(text)
        for each in self._prefix(own):
            self._first.setdefault(each, []).append(len(self._seen))
        self._seen.append(own)

    def _prefix(self, own: frozenset[tuple[str, ...]]) -> list[tuple[str, ...]]:
        # Long words and pairs are rare, so that few texts share them.
        ordered = sorted(own, key=lambda each: (-sum(map(len, each)), each))
        return ordered[: len(ordered) - math.ceil(self._least * len(ordered) - 1e-9) + 1]
