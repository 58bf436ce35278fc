"""The wide world's tokenizer: minnow's, with its own words as tokens too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from salmon_minnow import tokenizer
from salmon_minnow.wide.lexicon import CLOSINGS, OPENINGS
from salmon_minnow.wide.principles import PRINCIPLES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def texts() -> Iterator[str]:
    """Texts that hold every word that minnow's tokenizer lacks."""
    for table in (OPENINGS, CLOSINGS):
        for by_language in table.values():
            for text in by_language.values():
                yield from (text, f" {text}")
    for principle in PRINCIPLES.values():
        yield from principle.texts + principle.negated_texts


def build() -> PreTrainedTokenizerFast:
    """Build the tokenizer from the lexicons."""
    return tokenizer.build(texts())
