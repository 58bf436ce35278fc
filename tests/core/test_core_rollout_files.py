"""Completions to score mean the same in JSON Lines, CSV and Parquet; what cannot be used is told all at once."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from core_world import Cli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salmon_core import DataError
from salmon_core.data.rollout_rows import read_rollouts

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
shown = st.fixed_dictionaries({"name": words, "text": words, "negated": st.booleans()})
rows = st.fixed_dictionaries(
    {
        "prompt": words,
        "completion": st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12),
        "stopped": st.booleans() | st.none(),
        "n_tokens": st.integers(0, 2**31) | st.none(),
        "completion_ids": st.lists(st.integers(0, 2**31), max_size=3),
        "principles": st.lists(shown, max_size=2),
    }
)


def written(file: Path, found: list[dict[str, Any]]) -> Path:
    """The rows in the format that the file's ending says."""
    if file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    elif file.suffix == ".csv":
        with file.open("w", encoding="utf-8", newline="") as target:
            table = csv.writer(target)
            table.writerow(found[0])
            for row in found:
                table.writerow(
                    [json.dumps(row[name]) if isinstance(row[name], list) else row[name] for name in found[0]]
                )
    else:
        pq.write_table(pa.Table.from_pylist(found), file)
    return file


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(rows, min_size=1, max_size=4))
def test_the_format_makes_no_difference(found: list[dict[str, Any]], tmp_path: Path) -> None:
    read = [read_rollouts(written(tmp_path / f"rows{ending}", found)) for ending in (".jsonl", ".csv", ".parquet")]
    assert read[0] == read[1] == read[2]
    for row, given_row in zip(read[0], found, strict=True):
        assert row.completion == given_row["completion"]
        assert row.n_tokens == given_row["n_tokens"]
        assert row.stopped is (given_row["stopped"] is not False)
        assert list(row.completion_ids) == given_row["completion_ids"]
        assert [(p.name, p.text, p.negated) for p in row.principles or ()] == [
            (p["name"], p["text"], p["negated"]) for p in given_row["principles"]
        ]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("false", False), ("False", False), ("FALSE ", False), ("0", False), ("no", False),
        ("true", True), ("True", True), ("1", True), ("yes", True), ("", True), ("  ", True),
    ],
)  # fmt: skip
def test_truth_in_csv(text: str, meant: bool, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(f"prompt,completion,stopped\nWhy?,Because.,{text}\n")
    assert [row.stopped for row in read_rollouts(tmp_path / "rows.csv")] == [meant]


def test_numbers_as_other_tools_write_them(tmp_path: Path) -> None:
    """A column of whole numbers with gaps is a column of floats in many of them."""
    (tmp_path / "rows.csv").write_text("prompt,completion,n_tokens,stopped\na,b,12.0,1\na,b,,0\na,b,0,\n")
    assert [row.n_tokens for row in read_rollouts(tmp_path / "rows.csv")] == [12, None, 0]
    found = [{"prompt": "a", "completion": "b", "n_tokens": n, "stopped": s} for n, s in ((3.0, 1.0), (None, 0.0))]
    read = read_rollouts(written(tmp_path / "rows.parquet", found))
    assert [(row.n_tokens, row.stopped) for row in read] == [(3, True), (None, False)]


BAD: dict[str, list[Any]] = {
    "stopped": ["maybe", 2, 0.5, float("nan"), [True], {}],
    "n_tokens": ["many", "-1", "1e3", "٣", -1, 1.5, float("nan"), float("inf"), True, 10**40, [3]],
    "completion_ids": ["1 2", "[1", "3", 3, ["a"], [-1], [None], {"a": 1}, "[" * 5000],
    "principles": ["kind", "[1]", [" "], [{"name": "kind"}], [{"name": 1, "text": "x"}],
                   [{"name": "a", "text": "b", "negated": 3}]],
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value"), [(column, value) for column in BAD for value in BAD[column]], ids=lambda part: str(part)[:20]
)
def test_a_cell_that_cannot_be_used(column: str, value: Any, tmp_path: Path) -> None:
    file = written(tmp_path / "rows.jsonl", [{"prompt": "a", "completion": "b"}] * 2)
    with file.open("a") as more:
        more.write(json.dumps({"prompt": "a", "completion": "b", column: value}) + "\n")
    with pytest.raises(DataError) as error:
        read_rollouts(file)
    said = str(error.value)
    assert said.startswith((f"{file}: line 3, column {column}: ", f"{file}: line 3, column {column}[0]"))
    assert re.search("has to be |should be |is required", said)
    assert len(said) < len(str(file)) + 200


def test_half_of_a_surrogate_pair(tmp_path: Path) -> None:
    """JSON can say it, UTF-8 cannot: a message with its place, before anything is scored or written."""
    (tmp_path / "rows.jsonl").write_text(
        '{"prompt": "a", "completion": "b"}\n{"prompt": "a", "completion": "b \\ud800"}\n'
    )
    with pytest.raises(DataError, match=r"rows\.jsonl: line 2: has half of a surrogate pair"):
        read_rollouts(tmp_path / "rows.jsonl")
    (tmp_path / "rows.csv").write_text(
        'prompt,completion,principles\na,b,"[{""name"": ""\\udfff"", ""text"": ""x""}]"\n'
    )
    with pytest.raises(DataError, match=r"rows\.csv: line 2, column principles: .*half of a surrogate pair"):
        read_rollouts(tmp_path / "rows.csv")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "\\ud83d\\ude00"}\n')
    assert read_rollouts(tmp_path / "rows.jsonl")[0].completion == "\U0001f600"


def test_everything_wrong_at_once(world: Path, cli: Cli) -> None:
    header = "prompt,completion,stopped,n_tokens,completion_ids"
    (world / "rows.csv").write_text(f'{header}\nWhy?,So.,perhaps,12,"[1, 2]"\nWhy?,So.,no,a few,\nWhy?,So.,yes,1,\n')
    done = cli("score", "runs/toy", "rows.csv", "-o", "scores.jsonl")
    assert done.code == 1
    assert done.err.partition("runs\n")[2] == (
        "error: rows.csv: 2 cells cannot be used\n"
        "  - line 2, column stopped: Input should be a valid boolean, not 'perhaps'\n"
        "  - line 3, column n_tokens: Input should be a valid integer, not 'a few'\n"
    )
    assert not (world / "scores.jsonl").exists()
    (world / "rows.jsonl").write_text('{"prompt": "a", "stopped": "x"}\n' * 300)
    done = cli("score", "runs/toy", "rows.jsonl")
    assert "600 cells cannot be used" in done.err
    assert "... and 588 more" in done.err
    assert len(done.err) < 2000


def test_stopped_reaches_the_bonuses(world: Path, cli: Cli) -> None:
    with (world / "world.py").open("a") as plugin:
        plugin.write(
            "\nclass Told:\n    def score_one(self, rollout):\n"
            "        return 1000.0 * rollout.stopped + rollout.n_tokens\n\n"
            "def salmon_bonuses():\n    yield Component('told', Told, 'what it was told')\n"
            "salmon_bonuses = hookimpl(salmon_bonuses)\n"
        )
    saved = json.loads((world / "runs/toy/config.json").read_text())
    saved["document"]["reward"]["bonuses"] = [{"name": "told", "weight": 1.0, "label": None}]
    saved["document"]["reward"]["rm_weight"] = 0.0
    saved["base"] = str(world)
    (world / "runs/toy/config.json").write_text(json.dumps(saved))
    (world / "rows.csv").write_text("prompt,completion,stopped,n_tokens\nWhy?,So.,false,7\nWhy?,So.,true,\nWhy?,,,0\n")
    done = cli("score", "runs/toy", "rows.csv")
    assert done.code == 0, done.text
    assert [json.loads(line)["total"] for line in done.out.splitlines()] == [7.0, 1003.0, 1000.0]
