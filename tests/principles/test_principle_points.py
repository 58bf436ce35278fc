"""Signed weights mean one thing, wherever they are written."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from salmon_core.data.points import pointed
from salmon_core.errors import ConfigError
from salmon_core.principles.files import load_principle_set
from salmon_core.principles.imported import import_principles


def test_a_weight_above_zero_changes_nothing() -> None:
    assert pointed("Is kind.", "Is harsh.", 2.5) == ("Is kind.", "Is harsh.", 2.5)
    assert pointed("Is kind.", None, 2.5) == ("Is kind.", None, 2.5)


def test_a_negative_one_turns_the_principle_round() -> None:
    assert pointed("Is harsh.", "Is kind.", -2) == ("Is kind.", "Is harsh.", 2)
    assert pointed("Is harsh.", None, -2) == ("The response avoids this: Is harsh.", "Is harsh.", 2)


def test_negative_says_the_same_and_both_say_it_once() -> None:
    expected = pointed("Is harsh.", None, -2)
    assert pointed("Is harsh.", None, 2, negative=True) == expected
    assert pointed("Is harsh.", None, -2, negative=True) == expected


@pytest.mark.parametrize("weight", [0.0, -0.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("negative", [False, True])
def test_weights_that_never_count(weight: float, negative: bool) -> None:
    with pytest.raises(ValueError, match="its weight is"):
        pointed("Is kind.", None, weight, negative=negative)


def test_in_every_format(tmp_path: Path) -> None:
    """Our YAML, the published JSON as a set, and what is imported."""
    expected = ("The response avoids this: Is harsh.", "Is harsh.", 2.0)
    (tmp_path / "a.yaml").write_text("principles: [{name: a, text: Is harsh., weight: -2}]")
    (tmp_path / "b.json").write_text(json.dumps([{"dimension": "b", "definition": "Is harsh.", "weight": -2}]))
    found = [load_principle_set(tmp_path / "a.yaml"), load_principle_set(tmp_path / "b.json")]
    for index, item in enumerate(
        [
            [{"requirement": "Is harsh.", "weight": -2}],
            [{"name": "x", "description": "Is harsh.", "weight": 2, "negative": True}],
            [{"title": "x", "description": "Is harsh.", "weight": -2, "negative": True}],
            {"criteria": [{"name": "x", "text": "Is harsh.", "weight": -2}]},
        ]
    ):
        path = tmp_path / f"{index}.json"
        path.write_text(json.dumps(item))
        own = import_principles(path).principles
        assert own is not None
        found.append(own)
    assert [tuple(getattr(s.principles[0], k) for k in ("text", "negated", "weight")) for s in found] == [expected] * 6


def test_a_set_that_is_extended_is_not_turned_by_weights(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: honest\nweights: {bias-recognition: -1}")
    with pytest.raises(ConfigError, match="greater than 0"):
        load_principle_set(tmp_path / "a.yaml")
