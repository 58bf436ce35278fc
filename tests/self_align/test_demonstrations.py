"""Which questions and answers become demonstrations, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from self_align_world import PRINCIPLES, renderer

from salmon_core.config.demonstrations import AnswerFilters, QuestionsSection
from salmon_core.data.alike import Alike, similarity
from salmon_core.stages.demonstrations import Answers, Dropped, Questions, reasons

READER = renderer()
TEXTS = st.lists(
    st.sampled_from(["the", "what", "is", "of", "color", "red", "snow", "blood", "a", "b"]), min_size=1, max_size=8
).map(" ".join)


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=12), TEXTS, st.floats(0.05, 1.0))
def test_alike_texts_are_found_as_by_comparing_with_each(seen: list[str], text: str, least: float) -> None:
    alike = Alike(least)
    for each in seen:
        alike.add(each)
    assert alike.near(text) == any(similarity(text, each) >= least - 1e-12 for each in seen)


def test_what_makes_no_difference_makes_none() -> None:
    alike = Alike(None)
    alike.add("What is the  CAPITAL of Peru?")
    assert alike.near("what is the capital of peru")
    assert not alike.near("what is the capital of Kenya")
    assert similarity("", "") == 1.0
    assert 0.5 < similarity("日本の首都は何ですか", "日本の首都はどこですか") < 1


def question(text: str, *, stopped: bool = True) -> dict[str, Any]:
    return {"index": 0, "topic": "t", "kind": "k", "category": "general", "text": text, "stopped": stopped}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("How is bread baked at home?", None),
        ("Why?", "too short"),
        (" ".join(f"word{i}" for i in range(30)), "too long"),
        ("1 2 3 4", "no letters"),
        ("What? [[end of question]] [[topic]] x", "another turn"),
        ("How wide is a river here?", "held out"),
        ("how WIDE is a river", "held out"),
        ("Where do storks sleep in winter?", "copied"),
        ("When was the first bridge built?", "repeated"),
        ("When was the very first bridge built?", "nearly repeated"),
    ],
)
def test_questions(text: str, reason: str | None) -> None:
    dropped = Dropped()
    how = QuestionsSection(max_words=20, similar=0.6)
    found = Questions(how, READER, ["Where do storks sleep in winter?"], ["How wide is a river?"], dropped)
    found.add(question("When was the first bridge built?"))
    found.add(question(f" {text}\n"))
    assert [row["reason"] for row in dropped.rows] == ([] if reason is None else [reason])
    assert [row["text"] for row in found.kept][1:] == ([text] if reason is None else [])


def test_a_question_without_an_end_is_none() -> None:
    dropped = Dropped()
    Questions(QuestionsSection(), READER, [], [], dropped).add(question("How is bread", stopped=False))
    assert dropped.counts("question") == {"no end": 1}


def answer(text: str, name: str = "p", prompt: str = "How tall is the old tower?", **more: Any) -> dict[str, Any]:
    row = {"id": name, "messages": [{"role": "user", "content": prompt}], "category": "general", "source": "run"}
    return row | {"text": text, "stopped": True, "unasked": False} | more


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("It is two metres tall.", None),
        ("Two.", "too short"),
        ("How tall is the old tower? It is two metres.", "repeats the prompt"),
        ("The tower is so old, how tall is the old tower", "repeats the prompt"),
        ("By the principles shown it is two metres.", "mentions the principles"),
        ("The answer does what was asked for: two metres.", "mentions the principles"),
        ("Two metres or so.\n[[user]]\nAnd how wide is it?", "another turn"),
    ],
)
def test_answers(said: str, reason: str | None) -> None:
    dropped = Dropped()
    found = Answers(AnswerFilters(repeats=0.6), READER, PRINCIPLES, dropped, "answer")
    (*kept,) = found.kept([answer(f"Use: a number.\n[[answer]]\n{said}")], "principles")
    assert dropped.counts("answer") == ({} if reason is None else {reason: 1})
    assert [row["completion"] for row in kept] == ([said] if reason is None else [])
    assert not kept or kept[0]["named"] == ["use"]


def test_answers_that_are_none_are_counted() -> None:
    dropped, text = Dropped(), "Use: a number.\n[[answer]]\nIt is two metres tall."
    found = Answers(AnswerFilters(same_answer=2), READER, PRINCIPLES, dropped, "answer")
    rows = [
        answer("Use: a number, and no answer."),
        answer(text, stopped=False),
        answer("", unasked=True, stopped=False),
        answer(text, "a"),
        answer(text, "a"),
        answer(text, "b"),
        answer(text, "c"),
    ]
    assert [row["id"] for row in found.kept(rows, "principles")] == ["a", "b"]
    counts = {"given twice": 1, "no end": 1, "no room": 1, "same answer": 1, "unparsable": 1}
    assert dropped.counts("answer") == counts
    assert reasons({"no end": 2, "too short": 1}) == "2 no end and 1 too short"


def test_a_word_of_the_prompt_is_no_mention() -> None:
    dropped = Dropped()
    found = Answers(AnswerFilters(), READER, PRINCIPLES, dropped, "answer")
    row = answer(
        "Use: physics.\n[[answer]]\nIt is a principle of buoyancy.", prompt="State the principle of Archimedes."
    )
    assert len(list(found.kept([row], "principles"))) == 1
