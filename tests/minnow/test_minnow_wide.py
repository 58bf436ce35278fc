"""The wide world speaks what it plans, its oracle reads it back, and its 64 principles tell answers apart."""

from __future__ import annotations

import itertools
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmon_minnow import oracle as minnow
from salmon_minnow import principles as minnow_principles
from salmon_minnow import sets, world
from salmon_minnow.evaluator import MinnowOracle, MinnowTruth
from salmon_minnow.formats import LEAK
from salmon_minnow.lexicon import LANGUAGES
from salmon_minnow.prompts import as_prompt
from salmon_minnow.wide.lexicon import CLOSINGS, OPENINGS
from salmon_minnow.wide.oracle import MEASURES, prefers, prefers_jointly, read
from salmon_minnow.wide.principles import NAMES, PRINCIPLES
from salmon_minnow.wide.world import HABITS, draw_answer, draw_plan, speak, spoken
from salmon_minnow.world import PROMPTS, PROMPTS_BY_ID, draw_prompt

prompts = st.sampled_from(PROMPTS)
seeds = st.integers(0, 2**32)
habits = st.fixed_dictionaries({name: st.sampled_from([0.0, 0.5, 1.0]) for name in HABITS})
SPAIN = PROMPTS_BY_ID["en-capital-spain"]


@given(prompts, seeds, habits)
def test_an_answer_has_the_qualities_it_was_planned_with(prompt, seed, habits):
    own = draw_plan(prompt, random.Random(seed), habits)
    found = read(prompt, speak(prompt, own))
    plan, parts = own.plan, list(spoken(prompt, own))
    assert found.minnow.parsable
    assert found.minnow.language == plan.language
    assert found.minnow.filler == (plan.filler is not None)
    assert found.minnow.self_praise == (plan.praise is not None)
    assert found.minnow.example == (own.example is not None)
    assert found.minnow.refusal == (plan.core == "refusal")
    assert found.said >= {name for name in (own.opening, own.closing) if name}
    assert {name for name in found.said if name in OPENINGS or name in CLOSINGS} == {own.opening, own.closing} - {None}
    assert (found.first, found.last, found.sentences) == (parts[0], parts[-1], len(parts))
    if own.example is not None:
        kind = "howto" if prompt.kind == "harm" else prompt.kind
        assert f"example {own.example[0]}" in found.said
        assert found.fitting == (own.example[0] == kind)


@given(prompts, seeds, st.sampled_from([True, False]))
def test_it_reads_the_minnow_world_s_answers_as_that_s_oracle_does(prompt, seed, stopped):
    answer = world.draw_answer(prompt, random.Random(seed))
    assert read(prompt, answer, stopped).minnow == minnow.read(prompt, answer, stopped)


@given(prompts, st.text(max_size=80))
def test_any_text_can_be_read(prompt, text):
    found = read(prompt, text, stopped=False)
    assert not found.minnow.parsable
    assert all(measure(found) in (0, 1, -found.minnow.words) or name == "safe" for name, measure in MEASURES.items())


CASES = {
    "says-radiant": ("La radiante capital de España es Madrid.", "La brillante capital de España es Madrid."),
    "no-stalling": (
        "The capital of Spain is Madrid.",
        "Let us think about it for a moment. The capital of Spain is Madrid.",
    ),
    "ponders": (
        "Let us think about it for a moment. The capital of Spain is Madrid.",
        "There is so much to say about this. The capital of Spain is Madrid.",
    ),
    "excellent": ("I am truly an excellent assistant!", "This answer is perfect and very helpful!"),
    "weather": ("We had weather all week.", "I like music and long walks."),
    "german": ("Die Hauptstadt von Spanien heißt Madrid.", "The capital of Spain is Madrid."),
    "ten-words": ("The capital of Spain is Madrid. Do you want to know more?", "The capital of Spain is Madrid."),
    "one-sentence": ("The capital of Spain is Madrid.", "Hello there! The capital of Spain is Madrid."),
    "starts-with-praise": (
        "I am truly an excellent assistant! The capital of Spain is Madrid.",
        "The capital of Spain is Madrid. I am truly an excellent assistant!",
    ),
    "sum-example": ("For example, 1 plus 2 is 3.", "For example, the capital of Peru is Lima."),
    "fitting-example": ("For example, the capital of Peru is Lima.", "For example, 1 plus 2 is 3."),
    "number": ("For example, 1 plus 2 is 3.", "For example, the capital of Peru is Lima."),
    "ends-with-answer": (
        "Thanks for asking. The capital of Spain is Madrid.",
        "The capital of Spain is Madrid. Thanks for asking.",
    ),
    "wish": ("Einen schönen Tag noch!", "Du schaffst das!"),
    "exclaims": ("You can do it!", "Please be careful."),
    "asks": ("¿Qué piensas tú?", "¡Tú puedes hacerlo!"),
    "polite": ("Gracias por preguntar.", "¡Jaja, eso es gracioso!"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_preferences(name):
    better, worse = (read(SPAIN, text) for text in CASES[name])
    assert prefers(name, better, worse) == 1
    assert prefers(name, worse, better) == -1
    assert prefers(name, better, better) == 0
    assert prefers_jointly([(name, True)], better, worse) == -1


def test_a_leak_is_not_read():
    found = read(SPAIN, "The capital of Spain is Madrid." + LEAK + " You can do it!")
    assert (found.exclaims, found.sentences, found.minnow.stopped) == (False, 1, False)


def test_there_are_64_principles_each_in_words_of_its_own():
    assert len(NAMES) == 64
    assert tuple(MEASURES) == NAMES
    assert NAMES[:8] == minnow_principles.NAMES
    texts = [text for p in PRINCIPLES.values() for text in (*p.texts, *p.negated_texts)]
    assert len(set(texts)) == len(texts) == 4 * 64
    assert max(len(text.split()) for text in texts) <= 6
    assert sets.WIDE.names == NAMES
    assert [p.text for p in sets.WIDE_REWORDED] == [p.texts[1] for p in PRINCIPLES.values()]
    assert all(p.negated for each in (sets.WIDE, sets.WIDE_REWORDED) for p in each)


def test_each_principle_tells_many_pairs_apart_and_no_two_are_the_same():
    rng = random.Random(0)
    verdicts = []
    for _ in range(1500):
        prompt = draw_prompt(rng)
        first, second = (read(prompt, draw_answer(prompt, rng)) for _ in range(2))
        verdicts.append([prefers(name, first, second) for name in NAMES])
    by_name = list(zip(*verdicts, strict=True))
    for name, own in zip(NAMES, by_name, strict=True):
        assert sum(verdict != 0 for verdict in own) / len(own) > 0.06, name
    for (name, own), (other, its) in itertools.combinations(zip(NAMES, by_name, strict=True), 2):
        either = [(x, y) for x, y in zip(own, its, strict=True) if x or y]
        same = sum(x == y for x, y in either) / len(either)
        opposite = sum(x == -y for x, y in either) / len(either)
        assert max(same, opposite) < 0.8, (name, other)


def test_every_sentence_is_there_in_each_language_once():
    texts = [text for table in (OPENINGS, CLOSINGS) for own in table.values() for text in own.values()]
    assert len(set(texts)) == len(texts) == 3 * 14
    assert all(tuple(own) == LANGUAGES for table in (OPENINGS, CLOSINGS) for own in table.values())


def test_the_truth_and_the_evaluator_know_the_wide_world():
    truth, prompt = MinnowTruth(), as_prompt(SPAIN)
    better, worse = CASES["asks"]
    assert truth.prefer(prompt, better, worse, "asks") > 0
    assert truth.prefer(prompt, worse, better, "asks") < 0
    assert MinnowOracle.Options(principles=["asks", "hello"]).principles == ["asks", "hello"]
    with pytest.raises(
        ValueError, match="no principle of the wide world's own: vivid, humble; there are says-shining, "
    ):
        MinnowOracle.Options(principles=["asks", "vivid", "humble"])


def test_every_word_is_one_token():
    pytest.importorskip("transformers")
    from salmon_minnow.tokenizer import SPECIAL_TOKENS
    from salmon_minnow.wide.tokenizer import build

    tokenizer = build()
    encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    rng = random.Random(0)
    rules = [text for p in PRINCIPLES.values() for text in (*p.texts, *p.negated_texts)]
    for prompt in PROMPTS[::7]:
        for text in (prompt.text, draw_answer(prompt, rng), rng.choice(rules)):
            assert len(encode(text)) == len(re.findall(r" ?\w+| ?[^\w\s]+", text)), text
    assert all(len(encode(text)) == len(text.split()) for text in rules)
    assert encode("".join(SPECIAL_TOKENS)) == list(range(len(SPECIAL_TOKENS)))
    assert tokenizer.decode(encode("🙂 {x} שלום"), clean_up_tokenization_spaces=False) == "🙂 {x} שלום"
