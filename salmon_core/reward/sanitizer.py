"""Rewrites in untrusted text whatever could pass for a part of a prompt.

The rewrite is in the TEXT, so the result is safe under any later tokenizer call, ours or a trainer's. It is visible
(`[[score` becomes `[·[score`) and idempotent.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from salmon_core.reward.folding import DROPPED_BY_SOME, SEPARATORS, View, pattern

BREAK = "·"


_OTHER_BREAKS = "•|¦"
#: but for tab and line feed
_CONTROL = r"\x00-\x08\x0b-\x1f\x7f"
_CONTROLS = re.compile(f"[{_CONTROL}]")
_SEPARATOR = re.compile(f"[{DROPPED_BY_SOME}]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Forbidden:
    """Strings that untrusted text must not contain.

    Attributes:
        anywhere: wherever they stand.
        headings: at the beginning of a line, or of the text.
        lines: as a whole line.
    """

    anywhere: frozenset[str] = frozenset()
    headings: frozenset[str] = frozenset()
    lines: frozenset[str] = frozenset()

    def __or__(self, other: Forbidden) -> Forbidden:
        return Forbidden(self.anywhere | other.anywhere, self.headings | other.headings, self.lines | other.lines)

    @classmethod
    def of(cls, words: Iterable[str]) -> Forbidden:
        """Of markers as a template lists them: one that begins with a line break is a heading."""
        words = [word for word in words if word.strip()]
        headings = frozenset(word.strip() for word in words if word[0] in SEPARATORS)
        return cls(frozenset(word for word in words if word[0] not in SEPARATORS), headings)


class Sanitizer:
    """Rewrites forbidden strings in untrusted text.

    Matching looks through case, accents and other marks, Unicode compatibility forms, control and format characters,
    and through whatever the tokenizers' normalizers do. ASCII text without control characters is seen alike by all, so
    it gets one quick look.

    Args:
        forbidden: strings, or sorted by where they count.
        views: how the tokenizers in use see a text.

    Attributes:
        mark: the break.
    """

    def __init__(self, forbidden: Iterable[str] | Forbidden, views: Sequence[View] = ()):
        words = forbidden if isinstance(forbidden, Forbidden) else Forbidden.of(forbidden)
        plain, bare = View(), View(separators=False)
        self._searches = [_Search(words, view) for view in (plain, *views)]
        self._bare = _Search(words, bare)
        # Views that see ASCII as the plain one does have nothing to add there.
        self._ascii_searches = [
            search for search in self._searches if search.view is plain or not search.view.is_as(plain)
        ]
        self.mark = _choose_break(words, [plain, bare, *views])
        raw = {word for word in words.anywhere | words.headings | words.lines if not plain.fold(word).strip()}
        self._raw = re.compile("|".join(map(re.escape, sorted(raw, key=len, reverse=True)))) if raw else None
        starts = {start for search in self._searches for start in search.starts()}
        firsts = "".join(sorted({re.escape(first) for first, _ in starts}))
        self._firsts = re.compile(f"[{_CONTROL}{firsts}]")
        # Both cases instead of a flag: only so is a search for literals quick.
        self._starts = re.compile("|".join(sorted({pattern for _, pattern in starts})) or r"(?!)")
        self._hints = [hint for search in self._ascii_searches for hint in search.hints()]
        self._normalizers = [view.normalize for view in views if view.normalize is not None]
        self._contextual = any(view.contextual for view in views)
        self._empty = words == Forbidden()

    def __call__(self, text: str) -> str:
        return self.examine(text)[0]

    def examine(self, text: str) -> tuple[str, bool]:
        """-> the text made safe; whether it has anything at all that a tokenizer could mistake for structure.

        That is: a break, a character that some tokenizers drop, or the first two characters of a forbidden string (one
        that begins with a letter counts only as a whole, which is a break by then). Any text has, where a tokenizer's
        normalizer makes something else of signs together than of each alone.
        """
        if self._empty:
            return text, False
        if text.isascii():
            # The first of these is quick, and mostly enough.
            doubtful = self._contextual or (
                self._firsts.search(text) is not None
                and (self._starts.search(text) is not None or _CONTROLS.search(text) is not None)
            )
            if not doubtful and not any(hint(text) for hint in self._hints):
                return text, False
            safe = self._cleaned(text)
            return safe, doubtful or safe != text
        safe = self._cleaned(text)
        return safe, safe != text or self._resembles(safe)

    def _resembles(self, text: str) -> bool:
        characters = {ord(character) for character in text}
        return self.mark in text or any(
            any(search.view[each] is None for each in characters) or self._starts.search(search.view.fold(text))
            for search in self._searches
        )

    def find(self, text: str) -> tuple[tuple[str, ...], ...]:
        """The forbidden strings in a text, in order, as each of the views sees them."""
        searches = (*self._searches, self._bare)
        return tuple(tuple(word for _, _, word in search.found(text)) for search in searches)

    def _cleaned(self, text: str) -> str:
        text = self._all_broken(text)
        for normalize in self._normalizers:
            # What a normalizer makes of neighbours together is seen in the whole only, and then taken as the text.
            normalized = normalize(_SURROGATE.sub("\ufffd", text))
            if any(self.find(normalized)) and not any(self.find(text)):
                text = self._all_broken(normalized)
        if not text.isascii() and _begins_with_mark(text):
            # It would combine with the last character of what stands before it.
            text = self.mark + text
        return text

    def _all_broken(self, text: str) -> str:
        # Each round puts a break into every match of one view; no forbidden string holds a break, so this ends.
        while True:
            before = text
            if self._raw is not None:
                text = self._raw.sub(self.mark, text)
            searches = self._ascii_searches if text.isascii() else self._searches
            for search in (*searches, self._bare) if _SEPARATOR.search(text) else searches:
                if spans := search.spans(text):
                    text = self._broken(text, spans)
            if text == before:
                return text

    def _broken(self, text: str, spans: Sequence[tuple[int, int]]) -> str:
        parts, done = [], 0
        for first, second in spans:
            # One character that stands for the whole string gives way to the break.
            parts += [text[done : max(first, second)], self.mark]
            done = max(first + 1, second)
        return "".join([*parts, text[done:]])


class _Search:
    """Forbidden strings in texts seen in one way."""

    def __init__(self, words: Forbidden, view: View):
        self.view = view
        self._folded = _folded(words.anywhere | words.headings, view)
        self._words = _alternatives(words.anywhere, view)
        self._headings = _alternatives(words.headings, view)
        lines = _alternatives(words.lines, view)
        self._any = _compiled("", self._words)
        if view.lines:
            self._heading = _compiled(r"\n *", [*self._headings, *(rf"{line}(?= *(?:\n|\Z))" for line in lines)])
            self._headings += lines
        else:
            # A line's beginning is then any place between words, and a line of its own is nothing to be seen.
            # (Between letters of some scripts there is none to see, so only these keep words together.)
            self._heading = _compiled("(?<![a-z0-9])", self._headings)

    def found(self, text: str) -> list[tuple[int, int, str]]:
        """Begin and end in the folded text, and what is there without its spaces; in order, none overlapping."""
        return self._matches(self.view.fold(text))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """For each string in the text, its first character and the next; the same where it has but one."""
        matches = self.found(text)
        if not matches:
            return []
        ends = self.view.ends(text)
        spans = []
        for start, end, _ in matches:
            first = bisect_right(ends, start)
            spans.append((first, bisect_right(ends, ends[first]) if ends[first] < end else first))
        return spans

    def starts(self) -> Iterator[tuple[str, str]]:
        """How the strings begin that do not begin with a letter or digit: the first character, a pattern of two."""
        for word in self._folded:
            for two in (word[:2], word[:2].upper()):
                if not word[0].isalnum():
                    yield word[0], pattern(two.strip(), self.view)

    def hints(self) -> Iterator[Callable[[str], re.Match[str] | None]]:
        """Ways to find, in ASCII text without control characters, the strings that none of the starts gives away."""
        words, headings = (
            [re.sub(r" \+", r"\\s+", word) for word in words if word[0].isalnum()]
            for words in (self._words, self._headings)
        )
        if words:
            yield re.compile("|".join(words), re.IGNORECASE).search
        if headings and self.view.lines:
            yield re.compile(rf"[ \t]*(?:{'|'.join(headings)})", re.IGNORECASE).match
            yield re.compile(rf"\n[ \t]*(?:{'|'.join(headings)})", re.IGNORECASE).search
        elif headings:
            yield re.compile("|".join(headings), re.IGNORECASE).search

    def _matches(self, folded: str) -> list[tuple[int, int, str]]:
        found = []
        if self._any is not None:
            found += [(match.start(1), match.end(1), match[1]) for match in self._any.finditer(folded)]
        if self._heading is not None:
            lines = self._heading.finditer("\n" + folded)
            found += [(match.start(1) - 1, match.end(1) - 1, match[1]) for match in lines]
        apart: list[tuple[int, int, str]] = []
        for start, end, word in sorted(found):
            if not apart or start >= apart[-1][1]:
                apart.append((start, end, "".join(word.split())))
        return apart


def _folded(words: Iterable[str], view: View) -> list[str]:
    folded = {view.fold(word).strip() for word in words} - {""}
    return sorted(folded, key=lambda word: (-len(word), word))


def _alternatives(words: Iterable[str], view: View) -> list[str]:
    return [pattern(word, view) for word in _folded(words, view)]


def _compiled(before: str, alternatives: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile(f"{before}({'|'.join(alternatives)})") if alternatives else None


def _choose_break(words: Forbidden, views: Sequence[View]) -> str:
    """One that is part of a forbidden string, or that a tokenizer overlooks, would break nothing."""
    used = "".join(words.anywhere | words.headings | words.lines)
    used += "".join(view.fold(used) for view in views)
    marks: Iterator[str] = (
        mark
        for mark in (BREAK, *_OTHER_BREAKS, *map(chr, range(0x2190, 0x10000)))
        if mark not in used and {view.fold(mark) for view in views} == {mark}
    )
    return next(marks)


def _begins_with_mark(text: str) -> bool:
    shown = (character for character in text if unicodedata.category(character)[0] != "C")
    return unicodedata.combining(next(shown, " ")) > 0
