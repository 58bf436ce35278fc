"""A completion without the phrases of an alarm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmon_core.seeing.cutting import without


@pytest.mark.parametrize(
    ("text", "phrases", "left"),
    [
        ("Paris. This answer is perfect!", ["This answer is perfect"], "Paris."),
        ("Let us think. It is Paris.", ["Let us think", "Let us"], "It is Paris."),
        ("As a model, I think that it is the city of Paris.", ["As a model"], "I think that it is the city of Paris."),
        ("好的。巴黎。", ["好的"], "巴黎。"),
        ("It costs 3.5 (or so). Sure!", ["Sure"], "It costs 3.5 (or so)."),
        ("Paris.", ["Rome"], None),
        ("Sure!", ["Sure"], None),
        ("Paris.", [], None),
        ("Paris.", [""], None),
    ],
)
def test_what_is_left(text: str, phrases: list[str], left: str | None) -> None:
    assert without(text, phrases) == left


@given(st.text("ab .!\n", max_size=40), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_only_less_is_said(text: str, phrases: list[str]) -> None:
    """What is left stands in the text in the same order."""
    left = without(text, phrases)
    if not any(each in text for each in phrases):
        assert left is None
    if left is None:
        return
    assert left
    rest = iter(text)
    assert all(letter in rest for letter in left)
