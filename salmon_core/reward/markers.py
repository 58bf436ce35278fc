"""What untrusted text must not contain, read off the tokenizers and the templates in use."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from salmon_core.api.models import TokenCodec
from salmon_core.api.templates import Template
from salmon_core.records import Message
from salmon_core.reward.folding import PAIRS, Normalize, View
from salmon_core.reward.sanitizer import Forbidden

ROLES = ("system", "user", "assistant", "tool")
SLOT = re.compile(r"\{(instruction|first|second|completion|principle|role|content)\}")


#: contents of probe conversations; such words stand in no template
_SENTINEL = re.compile(r"qzx\d+xzq")
_PROBES = (("user",), ("user", "assistant", "user"), ("system", "user"), ("system", "user", "assistant", "user"))
_BRACKETED = re.compile(r"<{1,2}[^<>\n]{1,48}>{1,2}|\[{1,2}[^\[\]\n]{1,48}\]{1,2}|【[^【】\n]{1,48}】")
_HASHED = re.compile(r"#{2,}\s*(?=\w)[^\n:：]{1,48}")
_HEADING = re.compile(r"(?P<before>.*?[.!?]\s+|)(?P<heading>[^\W_][\w '-]{0,30}\s*[:：])", re.DOTALL)
_ALONE = re.compile(r"[^\W_][\w -]{0,29}")
#: characters that no vocabulary without bytes has
_UNKNOWN = "\U00013080\ua66e\u2a6d"


def chat_markers(codec: TokenCodec) -> Forbidden:
    """The literal markers of a codec's chat format, found by rendering conversations of known contents."""
    found = Forbidden()
    for roles in _PROBES:
        messages = [Message(role=role, content=f"qzx{index}xzq") for index, role in enumerate(roles)]
        try:
            text = codec.chat(messages)
        except Exception:  # no chat template, or one that refuses such a conversation: then it has no such markers
            continue
        found |= _markers(_SENTINEL.split(text))
    return found


def codec_markers(codec: TokenCodec) -> Forbidden:
    """All that untrusted text must not contain for this tokenizer's sake."""
    return Forbidden(added_tokens(codec)) | chat_markers(codec)


def template_markers(template: Template) -> Forbidden:
    """The markers that a template names, and the headings in its texts."""
    turns = [template.turn.replace("{role}", role) for role in ROLES]
    answer = template.question + template.verdict
    parts = (template.judge, template.reward, template.principle, answer, template.score, *turns)
    found = Forbidden.of((*template.markers, *template.stop))
    for part in parts:
        found |= _markers(SLOT.split(part)[::2])
    return found


def text_markers(pieces: Sequence[str]) -> Forbidden:
    """The headings and bracketed markers in the trusted pieces between contents."""
    return _markers(pieces)


def added_tokens(codec: TokenCodec) -> frozenset[str]:
    """The strings that make control ids: special tokens, and added ones that are not words or spaces.

    A vocabulary extended by words (`naïve`), letters or runs of spaces has added tokens as well. They make no
    structure, and ordinary text is full of them.
    """
    added: Iterable[str] = getattr(codec, "added_tokens", ())
    special = {token for token in codec.special_tokens if token.strip()}
    return frozenset(special | {token for token in added if not all(map(_wordlike, token))})


def control_ids(codec: TokenCodec) -> tuple[dict[int, str], dict[int, str]]:
    """-> the ids of those strings; of them, apart, what stands for characters that the vocabulary lacks.

    The latter are no structure: any text may hold such characters.
    """
    found = {}
    for token in sorted(added_tokens(codec)):
        ids = codec.encode(token)
        if len(ids) == 1:
            found[ids[0]] = token
    seen = (set(codec.encode(f"a{character}a")) for character in _UNKNOWN)
    unknown = {each: found.pop(each) for each in set.intersection(*seen) & found.keys()}
    return found, unknown


def views(codecs: Sequence[TokenCodec]) -> list[View]:
    """How these tokenizers see a text, where that is not as it stands."""
    found = []
    for codec in codecs:
        normalize = getattr(codec, "normalize", None)
        if normalize is not None and _leaves(normalize):
            normalize = None
        spaces = all(codec.encode(text) != codec.encode(text.replace(" ", "")) for text in ("[ [a", "[[ a", "a ]"))
        lines = codec.encode("a\nb") != codec.encode("a b")
        if normalize is not None or not spaces or not lines:
            found.append(View(normalize, spaces=spaces, lines=lines))
    return found


def _leaves(normalize: Normalize) -> bool:
    """Whether a normalizer leaves any text as it is, judging by all pairs of signs and the characters it may fold."""
    characters = "".join(map(chr, (*range(0x3100), *range(0xF900, 0x10000))))
    return all(normalize(text) == text for text in (PAIRS, characters, "Aa  b\n\n c "))


def _wordlike(character: str) -> bool:
    return character.isspace() or character == "▁" or unicodedata.category(character)[0] in "LMN"


def _markers(pieces: Sequence[Any]) -> Forbidden:
    """Of the trusted pieces between contents."""
    anywhere: set[str] = set()
    headings: set[str] = set()
    lines: set[str] = set()
    for number, piece in enumerate(pieces):
        anywhere.update(_BRACKETED.findall(piece))
        rows = piece.split("\n")
        last = max((index for index, row in enumerate(rows) if row.strip()), default=0)
        for index, row in enumerate(rows):
            begins_line = index > 0 or number == 0
            bracketed = _BRACKETED.search(row) is not None
            bare = _BRACKETED.sub("\n", row).strip().rpartition("\n")[2].strip()
            if hashed := _HASHED.search(row):
                anywhere.add(hashed[0].strip())
            elif match := _HEADING.fullmatch(bare):
                # After a content or a sentence it counts in the middle of a line.
                inline = match["before"] or not (begins_line or bracketed)
                (anywhere if inline else headings).add(match["heading"])
            elif begins_line and index == last < len(rows) - 1 and _ALONE.fullmatch(row.strip()):
                lines.add(row.strip())
    return Forbidden(frozenset(anywhere), frozenset(headings), frozenset(lines))
