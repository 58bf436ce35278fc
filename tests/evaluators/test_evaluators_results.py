"""What an evaluator may return, checked where it returns it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmon_core.api import Metrics, RewardModelAccuracy, Section, Target
from salmon_core.errors import PluginError
from salmon_core.records import Estimate
from salmon_core.stages.results import checked, metrics_from_json, metrics_to_json


def looped() -> dict[str, Any]:
    values: dict[str, Any] = {}
    values["itself"] = values
    return values


class Uncopied:
    """Such as a tensor that is part of a graph."""

    def __deepcopy__(self, memo: object) -> Any:
        raise RuntimeError("cannot be copied")


NO_NUMBER = RewardModelAccuracy(Estimate(math.nan, 0, 1, 5), None)
BAD: list[tuple[str, Any, str]] = [
    ("no Metrics", {"targets": []}, "returned a dict, not Metrics"),
    ("nothing", None, "returned a NoneType, not Metrics"),
    ("values are a list", Metrics("m", [1]), "has [1] as values, which is no mapping"),  # type: ignore[arg-type]
    ("values are nothing", Metrics("m", None), "has null as values"),  # type: ignore[arg-type]
    ("targets among the values", Metrics("m", {"targets": []}), "give Metrics(targets=(Target(...), ...))"),
    ("rm among the values", Metrics("m", {"rm": {}}), "give Metrics(reward_model=RewardModelAccuracy(...))"),
    ("not a number", Metrics("m", {"a": {"b": [0.0, math.nan]}}), "values.a.b[1] is nan; leave out"),
    ("infinite", Metrics("m", {"a": -math.inf}), "values.a is -inf"),
    ("an object", Metrics("m", {"a": [object()]}), "values.a[0] is a object"),
    ("a set", Metrics("m", {"a": {1}}), "values.a is a set"),
    ("bytes", Metrics("m", {"a": b"x"}), "values.a is a bytes"),
    ("a key that is no text", Metrics("m", {"a": {1: 2}}), "values.a: the key 1 is no text"),
    ("contains itself", Metrics("m", looped()), "RecursionError"),
    ("cannot be copied", Metrics("m", {"a": Uncopied()}), "RuntimeError: cannot be copied"),
    ("no name", Metrics(None), "name: Input should be a valid string"),  # type: ignore[arg-type]
    ("target without an interval", Metrics("m", targets=({"name": "x", "before": 0.1, "after": 0.2},)),  # type: ignore[arg-type]
        "targets[0].ci: is required"),
    ("target that is a text", Metrics("m", targets=("x",)), "targets[0]"),  # type: ignore[arg-type]
    ("interval turned round", Metrics("m", targets=({"name": "x", "before": 0, "after": 1, "ci": [2, 1]},)),  # type: ignore[arg-type]
        "ci (2.0, 1.0) must be (low, high)"),
    ("infinite interval", Metrics("m", targets=(Target("x", 0, 1, (-math.inf, 1)),)), "targets[0].ci[0] is -inf"),
    ("accuracy as a dict", Metrics("m", reward_model={"positive": 1}), "reward_model.positive: has to be a mapping"),  # type: ignore[arg-type]
    ("accuracy is no number", Metrics("m", reward_model=NO_NUMBER), "positive.value is nan"),
    ("section as a text", Metrics("m", sections=("x",)), "sections[0]"),  # type: ignore[arg-type]
    ("cell is no number", Metrics("m", sections=(Section("t", ("a",), ((math.inf,),)),)), "[0].rows[0][0] is inf"),
]  # fmt: skip


@pytest.mark.parametrize(("result", "says"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_results_that_are_none_name_their_author_and_the_place(result: Any, says: str) -> None:
    with pytest.raises(PluginError) as caught:
        checked(result, "salmon-someone", "evaluator 'm'")
    assert str(caught.value).startswith("plugin salmon-someone, evaluator 'm': ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Target("x", math.nan, 1, (0, 1)),
        lambda: Target("x", 0, math.inf, (0, 1)),
        lambda: Target("x", 0, 1, (1, 0)),
        lambda: Target("x", 0, 1, (math.nan, 1)),
        lambda: Target("x", 0, 1, (0,)),  # type: ignore[arg-type]
        lambda: Section("t", ("a", "b"), (("only one",),)),
    ],
)
def test_parts_that_cannot_be_are_refused_when_they_are_made(make: Any) -> None:
    with pytest.raises(ValueError, match=r"target 'x'|section 't'"):
        make()


def test_a_target_without_an_interval_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="ci"):
        Target("x", 0.1, 0.2)  # type: ignore[call-arg]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_ENDS = st.tuples(_NUMBERS, _NUMBERS).map(lambda ends: (min(ends), max(ends)))
_TARGETS = st.builds(
    Target, st.text(), _NUMBERS, _NUMBERS, _ENDS, wanted=st.sampled_from(["more", "less", ""]), principle=st.text(),
    touched_by=st.text(), n=st.integers(0, 9),
)  # fmt: skip
_CELLS = st.text() | _NUMBERS | st.integers() | st.none()
_SECTIONS = st.builds(
    lambda title, rows, note: Section(title, ("a", "b"), tuple(rows), note),
    st.text(), st.lists(st.tuples(_CELLS, _CELLS), max_size=2), st.text(),
)  # fmt: skip
_ESTIMATES = st.builds(Estimate, _NUMBERS, _NUMBERS, _NUMBERS, st.integers(0, 9))
_ACCURACIES = st.builds(
    RewardModelAccuracy, st.none() | _ESTIMATES, st.none() | _ESTIMATES,
    st.dictionaries(st.text(), st.dictionaries(st.text(), _ESTIMATES, max_size=2), max_size=2),
)  # fmt: skip


@given(
    st.text(),
    st.dictionaries(st.text().filter(lambda key: key not in ("targets", "rm")), _VALUES, max_size=3),
    st.lists(_TARGETS, max_size=2),
    st.none() | _ACCURACIES,
    st.lists(_SECTIONS, max_size=2),
)
def test_what_is_written_is_read_back(
    name: str,
    values: Mapping[str, Any],
    targets: list[Target],
    accuracy: RewardModelAccuracy | None,
    sections: list[Section],
) -> None:
    metrics = Metrics(name, values, tuple(targets), accuracy, tuple(sections))
    assert checked(metrics, "a", "b") == metrics
    assert metrics_from_json(metrics_to_json(metrics)) == metrics


def test_values_may_be_any_mapping_and_tuples_become_lists() -> None:
    found = checked(Metrics("m", {"pair": (1, 2), "numbers": {"x": True}}), "a", "b")
    assert found.values == {"pair": [1, 2], "numbers": {"x": True}}
    with pytest.raises(PluginError, match="mappingproxy"):
        checked(Metrics("m", MappingProxyType({"a": 1})), "a", "b")
