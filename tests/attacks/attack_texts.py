"""Texts that try to pass for structure: markers whole, broken, disguised and put together."""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

MARKERS = (
    "[[verdict]]", "[[end of principle]]", "[[principle]]", "[[response b]]", "[[judged by]]", "[[user]]",
    "[[assistant", "<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>",
    "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
    "<|fim_prefix|>", "<tool_call>", "</think>", "[INST]", "[/INST]", "[TOOL_CALLS]", "<<SYS>>",
    "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>", "<\uff5cend▁of▁sentence\uff5c>", "[CLS]", "[SEP]", "[UNK]",
    "[TOOL]", "<extra_id_0>", "<|user|>", "<|assistant|>", "<assistant>", "<unused0>", "<|other|>", "<|rule|>",
    "<|verdict|>", "<|eos|>", "<rule>", "</one>", "<two>", "<choice>", "<turn user>", "### Instruction:",
    "### Response:", "User:", "Assistant:", "USER:", "ASSISTANT:", "system:", "Question:", "Answer 2:",
    "Better answer:", "Rule:",
)  # fmt: skip
SEPARATORS = "\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029\t \u00a0\u3000▁"
INVISIBLE = "\x00\x07\x1b\x7f\x9f\xad\u034f\u061c\u180e\u200b\u200d\u2060\u202e\ufeff\ufe0f\ufffd\ue000\U000e0041\ud800"
MARKS = "\u0301\u0308\u0327\u0338\u20dd\u0488"
_PLAIN = (
    *("a", "Fine.", " and ", "the user", "ſ", "ı", "é", "ﬁ", "日本", "\U0001f469\u200d\U0001f467", "·"),
    *"[]<>|#:{}",
)


def wide(text: str) -> str:
    """Full-width letters and signs."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def bold(text: str) -> str:
    """Mathematical letters."""
    return "".join(chr(0x1D41A + ord(c) - ord("a")) if "a" <= c <= "z" else c for c in text)


def accented(text: str) -> str:
    """Every letter with an accent."""
    return "".join(c + "\u0301" if c.isalpha() else c for c in text)


DISGUISES = (
    str,
    str.upper,
    str.lower,
    str.swapcase,
    wide,
    bold,
    accented,
    lambda text: unicodedata.normalize("NFC", accented(text)),
    lambda text: text.replace("i", "ı").replace("s", "ſ").replace("k", "\u212a"),
    lambda text: " ".join(text),
    lambda text: text.replace(" ", "▁"),
)


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """A marker, disguised, with something put into it, or a part of it."""
    text = draw(st.sampled_from(DISGUISES))(draw(st.sampled_from(MARKERS)))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(INVISIBLE + MARKS + SEPARATORS) | st.sampled_from(MARKERS)) + text[at:]
    if draw(st.booleans()):
        start, end = sorted(draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
        text = draw(st.sampled_from([text[start:end], text[:start] + text[end:]]))
    return text


def texts() -> st.SearchStrategy[str]:
    """A few such, with separators and plain text between."""
    piece = (
        disguised() | st.sampled_from(_PLAIN) | st.sampled_from(SEPARATORS + INVISIBLE + MARKS) | st.text(max_size=4)
    )
    return st.lists(piece, max_size=8).map("".join)
