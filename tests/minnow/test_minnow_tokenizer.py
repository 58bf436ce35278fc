"""The tokenizer spells anything, and keeps every word of the world whole."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("transformers")

from transformers import AutoTokenizer

from salmon_minnow import formats
from salmon_minnow.plugin import MODEL
from salmon_minnow.principles import PRINCIPLES, UNSEEN_WORDING
from salmon_minnow.tokenizer import SPECIAL_TOKENS, build
from salmon_minnow.world import PROMPTS, draw_answer

TOKENIZER = build()
RULES = [UNSEEN_WORDING, *(text for p in PRINCIPLES.values() for text in (*p.texts, *p.negated_texts))]
plain_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def encode(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


@given(plain_texts)
def test_any_text_survives(text):
    assert TOKENIZER.decode(encode(text), clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("text", ["{braces} {{x}} %s", "🙂🐟 naïve", "שלום עולם", "a\r\n\tb  c ", "<|not special|>"])
def test_odd_texts_survive(text):
    assert TOKENIZER.decode(encode(text)) == text


@given(st.sampled_from(PROMPTS), st.integers(0, 2**32))
def test_every_word_is_one_token(prompt, seed):
    for text in (prompt.text, draw_answer(prompt, random.Random(seed)), *RULES):
        assert len(encode(text)) == len(re.findall(r" ?\w+| ?[^\w\s]+", text))


def test_turns_are_short():
    assert len(encode("\nUser: What")) == 4
    assert len(encode("Assistant:\n")) == 3


@given(st.sampled_from(PROMPTS), st.integers(0, 2**32), st.lists(st.sampled_from(RULES), min_size=1, max_size=4))
def test_texts_can_be_encoded_part_by_part(prompt, seed, rules):
    rng = random.Random(seed)
    first, second = draw_answer(prompt, rng), draw_answer(prompt, rng)
    asked = formats.policy_text(prompt.text)
    shared = formats.pair_text(prompt.text, first, second)
    assert encode(asked) + encode(first) + encode(formats.OTHER) + encode(second) == encode(shared)
    assert encode(shared) + encode(formats.rules_text(rules)) == encode(shared + formats.rules_text(rules))
    scored = formats.reward_text(prompt.text, first, rules)
    parts = [asked, first, formats.rules_text(rules), formats.EOS]
    assert [i for part in parts for i in encode(part)] == encode(scored)
    assert encode(scored)[-1] == TOKENIZER.eos_token_id


def test_special_tokens():
    assert encode("".join(SPECIAL_TOKENS)) == list(range(len(SPECIAL_TOKENS)))
    assert TOKENIZER.pad_token_id != TOKENIZER.eos_token_id
    assert TOKENIZER.bos_token is None
    assert all(len(encode(choice)) == 1 for choice in formats.CHOICES)


def test_chat_template():
    turns = [{"role": "user", "content": "Hi {x}"}]
    render = TOKENIZER.apply_chat_template
    assert render(turns, tokenize=False, add_generation_prompt=True) == formats.policy_text("Hi {x}")
    turns += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "No?"}]
    expected = "User: Hi {x}\nAssistant:\nYes.<|eos|>\nUser: No?\nAssistant:\n"
    assert render(turns, tokenize=False, add_generation_prompt=True) == expected


def test_the_shipped_tokenizer_is_the_one_the_lexicon_makes():
    shipped = AutoTokenizer.from_pretrained(MODEL)
    assert shipped.get_vocab() == TOKENIZER.get_vocab()
    assert shipped.chat_template == TOKENIZER.chat_template
    assert shipped.special_tokens_map == TOKENIZER.special_tokens_map
