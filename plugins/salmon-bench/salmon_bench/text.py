"""A text as programs see it: words, sentences, paragraphs, items of lists, numbers, sums."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_END = re.compile(r"(?<=[.!?])[\"')*]*(?:\s+|$)|\n+")
_ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+(?=\S)")
_BULLET = re.compile(r"^\s*[-*•]\s+(?=\S)")
_NUMBERED = re.compile(r"^\s*(\d{1,2})[.)]\s+(?=\S)")
_NUMBER = re.compile(r"(?<![\w.])-?[0-9]{1,9}(?![\w]|\.[0-9])")
_SUM = re.compile(r"(?<![\w.])([0-9]{1,6})\s*([-+*x×])\s*([0-9]{1,6})\s*=\s*(-?[0-9]{1,9})(?![\w]|\.[0-9])")


def listed(text: str) -> tuple[str, ...]:
    """What stands between spaces."""
    return tuple(text.split())


def words(text: str) -> list[str]:
    """In lower case, with what is within them: don't, well-known."""
    return [match[0].lower().replace("’", "'") for match in _WORD.finditer(text)]


def sentences(text: str) -> list[str]:
    """Pieces between full stops, question and exclamation marks and line breaks that have a word; marks of lists go."""
    parts: list[str] = []
    start = 0
    for match in _END.finditer(text):
        parts.append(text[start : match.end()])
        start = match.end()
    parts.append(text[start:])
    stripped = (_ITEM.sub("", part).strip() for part in parts)
    return [part for part in stripped if _WORD.search(part)]


def paragraphs(text: str) -> list[str]:
    """Blocks between empty lines."""
    return [block.strip() for block in re.split(r"\n[ \t]*\n", text) if block.strip()]


def lines(text: str) -> list[str]:
    """Those that are not empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def items(text: str) -> list[str]:
    """Of lists of either kind, without their marks."""
    return [_ITEM.sub("", line) for line in lines(text) if _ITEM.match(line)]


def bullets(text: str) -> int:
    """Lines that begin with a bullet."""
    return sum(bool(_BULLET.match(line)) for line in lines(text))


def numbered(text: str) -> int:
    """The length of the numbered list 1, 2, 3, ...; 0 where its numbers are others."""
    found = [int(match[1]) for line in lines(text) if (match := _NUMBERED.match(line))]
    return len(found) if found == list(range(1, len(found) + 1)) else 0


def numbers(text: str) -> list[int]:
    """Whole numbers in digits, those that number a list apart."""
    return [int(match[0]) for line in text.splitlines() for match in _NUMBER.finditer(_ITEM.sub("", line))]


def sums(text: str) -> list[tuple[str, bool]]:
    """What is written out, as in 2 + 3 = 5: (the text, whether it is right)."""
    found = []
    for match in _SUM.finditer(text):
        left, sign, right, result = int(match[1]), match[2], int(match[3]), int(match[4])
        value = {"+": left + right, "-": left - right}.get(sign, left * right)
        found.append((match[0], value == result))
    return found
