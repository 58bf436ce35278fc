"""No file makes a reader stumble, and no principle is lost on the way."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salmon_core.errors import ConfigError
from salmon_core.principles.files import load_principle_set
from salmon_core.principles.formats.frames import sentences, statement
from salmon_core.principles.formats.markdown import blocks
from salmon_core.principles.formats.registry import NAMES
from salmon_core.principles.imported import Imported, import_principles, write_imported

CHARACTERS = st.characters(exclude_categories=["Cs"])
TEXT = st.text(CHARACTERS, max_size=30) | st.sampled_from(
    ["Choose the response that is kind.", "Which response is better?", "Pitfall: lies.", "# a", "- b", "[[verdict]] a"]
)
KEYS = st.sampled_from(
    ["name", "title", "text", "description", "weight", "points", "negative", "requirement", "criteria", "criterion",
     "sections", "subcriteria", "anchors", "choices", "scoring", "prompt", "question", "rubric", "rubrics", "principle",
     "principles", "messages", "role", "content", "tags", "dimension", "definition", "critic", "revision",
     "constitutions", "veto", "negated", "id", "1", "label", "score"]
) | st.text(CHARACTERS, max_size=4)  # fmt: skip
SCALAR = (
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | TEXT | st.sampled_from(["", "user"])
)
ANY = st.recursive(
    SCALAR, lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=5), max_leaves=25
)
WEIGHT = st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["2", "many", None, True, [1], float("nan")])
SETTINGS = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def imported(text: str, name: str, format_name: str | None = None) -> Imported | None:
    """What a file becomes; None where it is refused. What is written is read back equal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8", newline="")
        try:
            found = import_principles(path, format_name)
        except ConfigError:
            return None
        target = Path(folder) / ("out.yaml" if found.principles is not None else "out.jsonl")
        write_imported(found, target)
        if found.principles is not None:
            assert load_principle_set(target) == found.principles
        else:
            for line in target.read_text(encoding="utf-8").split("\n")[:-1]:
                json.loads(line)
        return found


@SETTINGS
@given(ANY, st.sampled_from(["a.json", "a.yaml", "a", "a.jsonl"]), st.none() | st.sampled_from(NAMES))
def test_any_values(values: Any, name: str, format_name: str | None) -> None:
    with suppress(UnicodeEncodeError):
        imported(json.dumps(values), name, format_name)


@SETTINGS
@given(
    st.text(CHARACTERS | st.sampled_from("#-*`\n\n\n :={[\"'."), max_size=120),
    st.sampled_from(["a.txt", "a.md", "a.toml", "a.yaml", "a"]),
    st.none() | st.sampled_from(NAMES),
)
def test_any_text(text: str, name: str, format_name: str | None) -> None:
    imported(text, name, format_name)


def _balanced(found: Imported | None, count: int) -> None:
    """Each that went in came out, or is listed; where all were refused, that was said."""
    if found is not None:
        assert found.count + sum(each.item for each in found.unmapped) == count


def _objects(*keys: str) -> st.SearchStrategy[Any]:
    fields = dict.fromkeys(keys, TEXT | SCALAR)
    return st.fixed_dictionaries({}, optional={**fields, "weight": WEIGHT, "negative": st.booleans() | TEXT}) | SCALAR


@SETTINGS
@given(
    st.sampled_from(
        [
            ("salmon-json", ("dimension", "definition", "negative_definition")),
            ("requirements", ("requirement",)),
            ("named", ("name", "description")),
            ("titled", ("title", "description")),
            ("salmon", ("name", "text", "negated")),
        ]
    ).flatmap(lambda each: st.tuples(st.just(each[0]), st.lists(_objects(*each[1]), min_size=1, max_size=5)))
)
def test_no_object_is_lost(given: tuple[str, list[Any]]) -> None:
    _balanced(imported(json.dumps(given[1]), "a.json", given[0]), len(given[1]))


@SETTINGS
@given(st.lists(TEXT | SCALAR, min_size=1, max_size=6))
def test_no_text_of_a_list_is_lost(values: list[Any]) -> None:
    _balanced(imported(json.dumps(values), "a.json", "texts"), len(values))


@SETTINGS
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "What?", "Why?"]), st.lists(_objects("criterion", "title") | TEXT, max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_no_criterion_of_a_prompt_is_lost(rows: list[tuple[str, list[Any]]]) -> None:
    text = "\n".join(json.dumps({"prompt": prompt, "rubrics": rubrics}) for prompt, rubrics in rows)
    # A row without any is itself among what is listed.
    _balanced(imported(text, "a.jsonl", "per-prompt"), sum(max(1, len(rubrics)) for _, rubrics in rows))


LINE = st.text(st.characters(categories=["L", "N", "Zs"]) | st.sampled_from(".?!,:*_"), min_size=1, max_size=40)


@SETTINGS
@given(st.lists(LINE.filter(lambda line: line.strip()), min_size=1, max_size=6))
def test_no_line_is_lost(lines: list[str]) -> None:
    found = imported("\n".join(lines), "a.txt", "text")
    assert found is not None
    assert found.count == len(lines)


@SETTINGS
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("#-*`\n\n 1."), max_size=150))
def test_every_block_of_markdown_is_a_principle_or_listed_or_kept(text: str) -> None:
    found = imported(text, "a.md", "markdown-bullets")
    if found is not None and found.principles is not None:
        bullets = sum(block.kind == "bullet" for block in blocks(text))
        empty = sum(each.what == "an empty bullet" for each in found.unmapped)
        assert found.count + empty == bullets


@SETTINGS
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(".?! \n"), max_size=80))
def test_sentences_hold_all_that_a_text_says(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    statement(text)
