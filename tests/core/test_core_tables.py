"""Records as Parquet: rows come back as they were written, files appear whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salmon_core import DataError, Prompt
from salmon_core.data import parquet as tables
from salmon_core.records import Completion, Judgment, PreferenceRow, ShownPrinciple

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.floats(width=32, allow_nan=False)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": words}),
    min_size=1,
    max_size=3,
).map(tuple)
shown = st.builds(ShownPrinciple, words, words, st.booleans())
ids = st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple)
small = st.integers(0, 2**31 - 1)
KINDS: dict[str, tuple[Any, Any, Callable[[dict[str, Any]], Any]]] = {
    "prompts": (tables.PROMPTS, st.builds(Prompt, words, messages, words, words), tables.to_prompt),
    "completions": (
        tables.COMPLETIONS, st.builds(Completion, words, small, words, ids, small, st.booleans()), tables.to_completion,
    ),
    "judgments": (
        tables.JUDGMENTS, st.builds(Judgment, words, words, numbers, numbers, answers=small, unread=small),
        tables.to_judgment,
    ),
    "preferences": (
        tables.PREFERENCES,
        st.builds(
            PreferenceRow, words, messages, words, st.lists(shown, max_size=3).map(tuple), words, words,
            st.floats(allow_nan=False), words, st.booleans(),
        ),
        tables.to_preference,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_come_back_as_they_were(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    schema, strategy, make = KINDS[kind]
    rows = data.draw(st.lists(strategy, max_size=5))
    one, two = tmp_path / "deep" / "one.parquet", tmp_path / "two.parquet"
    tables.write_rows(one, rows, schema)
    tables.write_rows(two, rows, schema)
    assert tables.read_rows(one, schema, make) == rows
    assert tables.read_rows([one, two], schema, make) == rows * 2
    assert one.read_bytes() == two.read_bytes()


def test_what_is_wrong_with_a_table(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    tables.write_rows(file, [Judgment("a", "b", 1.0, -1.0)], tables.JUDGMENTS)
    with pytest.raises(DataError, match=r"lacks the column\(s\) id, messages, category, split"):
        tables.read_table(file, tables.PROMPTS)
    tables.write_rows(file, [{"prompt": "a", "completion": "b"}], tables.SFT_TEXTS)
    assert tables.read_table(file, tables.SFT_TEXTS) == [{"prompt": "a", "completion": "b"}]
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet file") as error:
        tables.read_table(file, tables.SFT_TEXTS)
    assert str(file) in str(error.value)
    with pytest.raises(DataError, match="not a readable Parquet file"):
        tables.read_table(tmp_path / "none.parquet", tables.SFT_TEXTS)


def test_judgments_of_an_earlier_version(tmp_path: Path) -> None:
    """Without the columns that came later."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "rows.parquet"
    tables.write_rows(file, [Judgment("a", "b", 1.0, -1.0, "so", True)], tables.JUDGMENTS)
    old: pa.Table = pq.read_table(file).drop_columns(["answers", "unread"])
    pq.write_table(old, file)
    assert tables.read_rows(file, tables.JUDGMENTS, tables.to_judgment) == [Judgment("a", "b", 1.0, -1.0, "so", True)]
    pq.write_table(old.drop_columns(["tie"]), file)
    with pytest.raises(DataError, match=r"lacks the column\(s\) tie"):
        tables.read_table(file, tables.JUDGMENTS)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    tables.write_rows(file, [Judgment("a", "b", 1.0, -1.0)], tables.JUDGMENTS)
    before = file.read_bytes()
    with pytest.raises(Exception, match="much"):
        tables.write_rows(file, [Judgment("a", "b", "much", math.inf)], tables.JUDGMENTS)  # type: ignore[arg-type]
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
