"""Principles and sets in memory."""

from __future__ import annotations

import math

import pytest

from salmon_core.api.principles import Principle, PrincipleSet

KIND = Principle("kind", "Is kind.", "Is harsh.", weight=2.0, categories={"red-teaming": 128.0})
SHORT = Principle("short", "Is short.")


def test_shown_text_and_negated_text() -> None:
    assert KIND.shown().text == "Is kind."
    assert KIND.shown(negated=True).text == "Is harsh."
    assert KIND.shown(negated=True).negated
    with pytest.raises(ValueError, match="no negated text"):
        SHORT.shown(negated=True)


def test_weight_for_category_adds_its_boost() -> None:
    assert KIND.weight_for("red-teaming") == 130.0
    assert KIND.weight_for("general") == 2.0


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan, math.inf])
def test_weight_that_cannot_be_drawn_by(weight: float) -> None:
    with pytest.raises(ValueError, match="weight must be"):
        Principle("a", "b", weight=weight)


def test_empty_texts_and_negative_boosts_are_refused() -> None:
    for bad in ({"name": " ", "text": "b"}, {"name": "a", "text": ""}, {"name": "a", "text": "b", "negated": "\n"}):
        with pytest.raises(ValueError, match=r"needs a name|empty text"):
            Principle(**bad)
    with pytest.raises(ValueError, match="by category"):
        Principle("a", "b", categories={"x": -1.0})


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="more than one kind"):
        PrincipleSet("s", (KIND, SHORT, KIND))


def test_select_keeps_the_order_of_the_set() -> None:
    both = PrincipleSet("s", (KIND, SHORT), "d")
    assert both.select(["short", "kind"]).names == ("kind", "short")
    assert both.select(without=["kind"]).names == ("short",)
    assert both.select([]).names == ()
    assert both.select(["kind"]).description == "d"
    for only, without in ((["x"], []), (None, ["x"])):
        with pytest.raises(KeyError):
            both.select(only, without)


def test_reweighted() -> None:
    both = PrincipleSet("s", (KIND, SHORT))
    assert both.reweighted({"short": 5.0})["short"].weight == 5.0
    assert both.reweighted({"short": 5.0})["kind"] == KIND
    with pytest.raises(KeyError):
        both.reweighted({"x": 1.0})
