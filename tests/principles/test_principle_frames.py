"""Frames come off, and what is left is a sentence about one response."""

from __future__ import annotations

import pytest

from salmon_core.principles.formats.frames import sentences, statement, unlabelled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Choose the response that is kinder.", "The response is kinder."),
        (
            "Please choose the assistant's answer that's as brief as it can be.",
            "The response is as brief as it can be.",
        ),
        ("Choose the response that most clearly says no", "The response most clearly says no."),
        ("Pick responses that are calm.", "The response is calm."),
        ("Prefer replies that avoid slang.", "The response is one of those that avoid slang."),
        ("Select the reply which a nurse would give.", "The response is one that a nurse would give."),
        ("Choose the response that your doctor would prefer.", "The response is one that your doctor would prefer."),
        ("Which of these two answers sounds warmer?", "The response sounds warmer."),
        ("Which response is less sure of itself?", "The response is less sure of itself."),
        ("Does the response name a source?", "The response does name a source."),
        ("Is this answer polite?", "The response is polite."),
        ("Choose the response that is kind. It is short, too.", "The response is kind. It is short, too."),
    ],
)
def test_frames(text: str, expected: str) -> None:
    assert statement(text) == expected


@pytest.mark.parametrize(
    "text",
    ["The response is kind.", "Is kind to animals.", "Choose words with care.", "Which is it?", "  spaced  out  ", ""],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert statement(text) == text


def test_sentences() -> None:
    assert sentences("One, e.g. this. Two! Three (so.) four") == ["One, e.g. this.", "Two!", "Three (so.)", "four"]


def test_labels() -> None:
    assert unlabelled("Pitfall Criteria: mixes units.") == ("Mixes units.", "pitfall")
    assert unlabelled("Note: mixes units.") == ("Note: mixes units.", "")
