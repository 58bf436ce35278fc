"""Checkers are pure functions that no text breaks, and right about texts whose answer is plain."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_bench import text as of
from salmon_bench.rules import BY_NAME, FAMILIES, RULES

TEXTS = st.text(max_size=300) | st.text(alphabet="aI youwe.!?,;:\n-*#1234567890+=()\"'`", max_size=300)


def test_there_are_as_many_as_promised() -> None:
    assert len(RULES) == len(BY_NAME) >= 40
    assert len(FAMILIES) >= 8
    for rule in RULES:
        texts = {*rule.texts, rule.negated}
        assert len(texts) == 4, rule.name
        assert all(each.strip() == each and each.endswith((".", ":", "'")) for each in texts), rule.name
    texts = [each for rule in RULES for each in (*rule.texts, rule.negated)]
    assert len(texts) == len(set(texts))


@settings(max_examples=150, deadline=None)
@given(answer=TEXTS, prompt=TEXTS)
def test_every_measure_is_a_number_and_the_same_again(answer: str, prompt: str) -> None:
    for rule in RULES:
        value = rule.measured(answer, prompt)
        assert math.isfinite(value), rule.name
        assert value == rule.measured(answer, prompt)
        assert rule.follows(answer, prompt) in (True, False, None)


@settings(max_examples=100, deadline=None)
@given(one=TEXTS, other=TEXTS, prompt=TEXTS)
def test_which_is_right_does_not_depend_on_places(one: str, other: str, prompt: str) -> None:
    for rule in RULES:
        found = rule.right((one, other), prompt)
        turned = rule.right((other, one), prompt)
        assert turned == (None if found is None else 1 - found)
        assert rule.right((one, one), prompt) is None


@given(left=st.integers(0, 999), right=st.integers(0, 999), error=st.integers(-5, 5))
def test_a_sum_is_right_where_it_is(left: int, right: int, error: int) -> None:
    answer = f"So {left} + {right} = {left + right + error}."
    assert [each for _, each in of.sums(answer)] == [error == 0]
    assert BY_NAME["right-sums"].follows(answer, "") is (error == 0)
    assert BY_NAME["right-result"].follows(answer, f"What is {left} plus {right}?") is (error == 0)


@given(words=st.lists(st.sampled_from(["tea", "sun", "red", "don't"]), min_size=1, max_size=40))
def test_words_are_counted(words: list[str]) -> None:
    answer = " ".join(words) + "."
    assert of.words(answer) == words
    assert len(of.sentences(answer)) == 1


@given(parts=st.lists(st.sampled_from(["Tea is hot.", "Is it?", "Go!"]), min_size=1, max_size=9))
def test_sentences_are_counted(parts: list[str]) -> None:
    assert of.sentences(" ".join(parts)) == parts
    assert of.sentences("\n".join(f"- {part}" for part in parts)) == parts


PLAIN = (
    ("one-paragraph", "A.\nB.", "A.\n\nB."),
    ("heading", "# Tea\n\nHot.", "Tea\n\nHot."),
    ("bold", "It is **hot**.", "It is *hot*."),
    ("lower-case", "it is hot.", "It is HOT."),
    ("no-commas", "It is hot.", "It is, well, hot."),
    ("bulleted", "- a\n- b", "a\nb"),
    ("numbered", "1. a\n2. b", "a\nb"),
    ("three-items", "- a\n- b\n- c", "- a\n- b"),
    ("in-english", "The cat is on the table and it is happy.", "Die Katze ist auf dem Tisch und sie ist froh."),
    ("in-german", "Die Katze ist auf dem Tisch und sie ist froh.", "Le chat est sur la table et il est dans un coin."),
    ("in-french", "Le chat est sur la table et il est dans un coin.", "El gato es de la casa y no se va por la calle."),
    ("in-spanish", "El gato es de la casa y no se va por la calle.", "The cat is on the table and it is happy."),
    ("first-person", "I like tea.", "They like tea."),
    ("impersonal", "Tea is hot.", "You like it."),
    ("past-tense", "We went home and cooked.", "We go home and will cook."),
    ("present-tense", "Tea is hot and cups are full.", "Tea was hot and cups were full."),
    ("future-tense", "It will rain.", "It rained."),
    ("no-contractions", "Do not go.", "Don't go."),
    ("no-contractions", "Anna's tea is hot.", "It’s hot."),
    ("ends-as-question", "It is hot. Is it?", "Is it? It is hot."),
    ("different-beginnings", "Tea is hot. Cups are full.", "Tea is hot. Tea is good."),
    ("begins-with-yes-or-no", "No, it is not.", "It is not."),
    ("ends-with-in-short", "Tea is hot. In short, wait.", "In short, wait. Tea is hot."),
    ("numbers-in-words", "Twenty-one.", "21"),
    ("even-numbers", "2 and 4.", "2 and 5."),
    ("rising-numbers", "1, 2, 3.", "1, 3, 2."),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "follows", "breaks"), PLAIN, ids=[f"{name}-{n}" for n, (name, *_) in enumerate(PLAIN)]
)
def test_plain_cases(name: str, follows: str, breaks: str) -> None:
    rule = BY_NAME[name]
    assert rule.follows(follows, "") is True, rule.measured(follows, "")
    assert rule.follows(breaks, "") is False, rule.measured(breaks, "")
