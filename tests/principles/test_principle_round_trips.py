"""Whatever a set says survives writing and reading."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.errors import ConfigError
from salmon_core.principles.files import load_principle_set
from salmon_core.principles.salmon_json import read_salmon_json, salmon_json, slug
from salmon_core.principles.yaml import write_principle_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).map(str.strip).filter(bool)
NAME = TEXT.filter(lambda name: "\n" not in name)
#: YAML has words and forms of its own; as texts they must stay texts
TRICKY = st.sampled_from(
    ["yes", "null", "~", "1e3", "2026-01-01", "a: b", "- a", "#a", "{a}", "'", '"', "&a", "!a", "|", "on"]
)
WEIGHT = st.floats(1e-300, 1e300) | st.integers(1, 100).map(float)


@st.composite
def principles(draw: st.DrawFn) -> Principle:
    text = draw(TEXT | TRICKY)
    negated = draw(st.none() | (TEXT | TRICKY).filter(lambda other: other != text))
    return Principle(
        draw(NAME | TRICKY),
        text,
        negated,
        draw(WEIGHT),
        draw(st.dictionaries(TEXT | TRICKY, st.floats(0, 1e300), max_size=3)),
        tuple(draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | TRICKY, max_size=3))),
        draw(st.just("") | TEXT),
    )


SETS = st.builds(
    PrincipleSet,
    NAME | TRICKY,
    st.lists(principles(), min_size=1, max_size=4, unique_by=lambda p: p.name).map(tuple),
    st.just("") | st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(SETS)
def test_yaml(original: PrincipleSet) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        write_principle_yaml(original, path)
        assert load_principle_set(path) == original


@SETTINGS
@given(SETS)
def test_published_json(original: PrincipleSet) -> None:
    """Names come from titles there, so the set is brought into that form first."""
    by_name = {
        slug(p.title or p.name): replace(
            p,
            name=slug(p.title or p.name),
            title="" if slug(p.title or p.name) == (p.title or p.name) else p.title or p.name,
            categories={},
            tags=(),
        )
        for p in original
    }
    expected = tuple(by_name.values())
    plain = PrincipleSet("a", expected)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(salmon_json(plain, kind="rl"), encoding="utf-8")
        assert read_salmon_json(path).principles == tuple(replace(p, negated=None) for p in expected)
        if all(p.negated is not None for p in expected):
            path.write_text(salmon_json(plain, kind="reward-model"), encoding="utf-8")
            assert read_salmon_json(path).principles == tuple(replace(p, weight=1.0) for p in expected)


@SETTINGS
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_no_text_makes_the_reader_stumble(text: str) -> None:
    """Any file is either a set or a ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.yaml", "a.json"):
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            with suppress(ConfigError):
                load_principle_set(path)
