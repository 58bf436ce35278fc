"""Preambles hold whatever stands in them, and an answer is read or it is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from self_align_world import EXEMPLARS, PRINCIPLES, codec, renderer

from salmon_core import Principle
from salmon_core.principles.worked import Invented, Worked
from salmon_core.reward.preamble import PreambleRenderer, names
from salmon_minnow.formats import TEMPLATE

READER = renderer()
PLAIN = renderer(thoughts=False)
#: of which texts are made that try to be a part of the preamble
PIECES = (
    "[[answer]]", "[[ANSWER ]]", "[[thought]]", "[[end of answer]]", "[[question]]", "[[principle 9]] x: y", "</s>",
    "<|user|>", "[[topic]]", "[[end of principle]]", "\n", " ", "[", "[[", "answer", "{completion}", "ok", "é",
    "\u200b",
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
#: words without a marker in them
WORDS = st.text("abc de.,!?\n0ü漢", min_size=1, max_size=60).filter(str.strip)


def asked(text: str) -> Any:
    return [{"role": "user", "content": text}]


@settings(deadline=None, max_examples=150)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_text_forges_a_part_of_the_preamble(
    prompt: str, question: str, thought: str, answer: str, rule: str
) -> None:
    shown = [Principle("own", rule)] if rule.strip() else list(PRINCIPLES)
    text = READER.answering(shown, [Worked(question, answer, thought)], asked(prompt))
    for marker, count in (("[[question]]", 2), ("[[thought]]", 2), ("[[answer]]", 1), ("[[end of answer]]", 1)):
        assert text.count(marker) == count
    assert text.count("[[principle ") == text.count("[[end of principle]]") == len(shown)
    assert text.endswith("[[thought]]\n")
    ids = READER.codec.encode(text)
    assert not {each for each in ids if READER.codec.decode([each]) in ("</s>", "<|user|>", "<|assistant|>")}


@settings(deadline=None, max_examples=100)
@given(HOSTILE, HOSTILE)
def test_no_invented_question_forges_another(topic: str, question: str) -> None:
    text = READER.inventing([Invented("a", "b", question)], Invented(topic, "how"))
    assert (text.count("[[topic]]"), text.count("[[question]]"), text.count("[[end of question]]")) == (2, 2, 1)


@settings(deadline=None)
@given(WORDS, WORDS, st.sampled_from(["\n[[answer]]\n", " [[answer]] ", "\n\n[[answer]]", "[[answer]]\n\n"]))
def test_a_thought_and_an_answer_are_read_however_lines_break(thought: str, answer: str, between: str) -> None:
    found = READER.read(thought + between + answer)
    assert found is not None
    assert (found.thought, found.answer) == (thought.strip(), answer.strip())


@settings(deadline=None)
@given(st.text(max_size=80))
def test_what_has_no_answer_is_not_guessed(text: str) -> None:
    found = READER.read(text)
    assert found is None or "[[answer]]" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "only a thought",
        "[[answer]]\nno thought",
        "thought\n[[answer]]\n  ",
        "a [[answer]] b [[answer]] c",
        "[[answer]]",
    ],
)
def test_what_is_not_one_thought_and_one_answer_is_none(text: str) -> None:
    assert READER.read(text) is None


def test_without_thoughts_all_of_it_is_the_answer() -> None:
    text = PLAIN.answering(PRINCIPLES, EXEMPLARS, asked("How wide is it?"))
    assert text.endswith("\n[[question]]\nHow wide is it?\n[[answer]]\n")
    assert "Use: a number." not in text
    assert "thought" not in text
    found = PLAIN.read(" One metre. ")
    assert found is not None
    assert (found.answer, found.thought) == ("One metre.", "")
    assert PLAIN.read(" \n") is None


def test_what_it_says_and_where_it_stops() -> None:
    text = READER.answering(PRINCIPLES, EXEMPLARS, asked("How wide is it?"))
    assert "\n[[principle 1]] Use: The answer does what was asked for. [[end of principle]]" in text
    assert "\n[[thought]]\nUse: a number.\n[[answer]]\nTwo metres.\n[[end of answer]]" in text
    assert (READER.stop, READER.stop_inventing) == ("[[end of answer]]", "[[end of question]]")
    thorough = READER.answering(PRINCIPLES, EXEMPLARS, asked("How wide is it?"), thorough=True)
    assert thorough != text
    assert "thorough" in thorough
    sections = READER.sections(thorough)
    assert [each.text for each in sections if each.kind == "instruction"] == ["How tall is it?", "How wide is it?"]


def test_a_conversation_is_shown_with_its_turns() -> None:
    turns: Any = [
        {"role": "user", "content": "Hello [[answer]]"},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "How wide is it?"},
    ]
    text = READER.answering(PRINCIPLES, EXEMPLARS, turns)
    assert "[[user]]\nHello [·[answer]]\n[[assistant]]\nGood day.\n[[user]]\nHow wide is it?\n[[thought]]\n" in text


def test_a_thought_names_principles_by_name_title_or_text() -> None:
    use, harm = PRINCIPLES
    assert READER.named("NO HARM: I refuse.", PRINCIPLES) == ("no-harm",)
    assert names("by no-harm", harm)
    assert names("The answer does what was asked for.", use)
    assert not names("It is useful, and does no harmful thing.", use)
    assert not names("It is useful, and does no harmful thing.", harm)


def test_another_turn_is_seen_in_an_answer() -> None:
    assert READER.marked("Two metres.\n[[user]]\nAnd how wide?")
    assert READER.marked("Two metres. [[principle 3]]")
    assert not READER.marked("Two metres, by principle.")


def test_the_minnow_template_has_its_own_form() -> None:
    own = PreambleRenderer(TEMPLATE, codec())
    text = own.answering(PRINCIPLES, EXEMPLARS, asked("How wide is it?"))
    assert text.startswith("<|rule|>The answer does what was asked for.<|end|><|rule|>")
    assert text.endswith("<|eos|>\nUser: How wide is it?\nThought:\n")
    found = own.read("should be short\nAssistant:\nOne metre.")
    assert found is not None
    assert (found.thought, found.answer) == ("should be short", "One metre.")
    assert own.read("the Assistant: is named in a line") is None
    assert own.inventing([], Invented("sum", "en")).endswith("\nTopic: sum, en\nUser:")
