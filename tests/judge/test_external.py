"""The judge `external`, by the command line: files as people make them, and what is wrong with them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_world import pair
from openai_engine.openai_engine_server import OpenAIServer
from run_world import EVIL, rows, salmon, write

from salmon_core import ConfigError
from salmon_judge.judged_rows import JudgedRows

Row = dict[str, Any]


NOBODY = "http://127.0.0.1:9/v1"


def sections(url: str, **judge: Any) -> dict[str, Any]:
    return {
        "policy": {"model": "served"},
        "sample": {
            "engine": {"name": "openai", "base_url": url, "attempts": 1 if url == NOBODY else 6},
            "max_new_tokens": 24,
            "shard_size": 4,
        },
        "judge": {"judge": judge, "engine": "transformers", "principles": "rules.yaml", "shard_size": 4},
    }


def rate(folder: Path) -> list[Row]:
    """What people say of the pairs that a run sampled: by pair or by text, in either order, by score or by word."""
    samples = {(row["prompt_id"], row["index"]): row["text"] for row in rows(folder / "runs" / "far" / "sample")}
    found: list[Row] = []
    for n, prompt in enumerate(sorted({prompt for prompt, _ in samples})):
        one, two = samples[prompt, 0], samples[prompt, 1]
        asked = f"Question number {prompt[1:]}? {EVIL}"
        better = "first" if len(one) < len(two) else "second"
        turned = {"first": "second", "second": "first"}[better]
        sign = 1 if better == "first" else -1
        found += [
            [
                {"pair_id": f"{prompt}/0-1", "better": better, "reason": f"It has {len(one)}, ☃."},
                {"prompt": asked, "first": two, "second": one, "better": turned},
                {"prompt_id": prompt, "first": one + "\n", "second": "  " + two, "score": sign * 2.5},
            ][n % 3]
            | {"principle": "short"},
            [
                {"prompt": asked, "first": two, "second": one, "s12": 0.25, "s21": -3.0},
                {"pair_id": f"{prompt}/0-1", "s12": 3.0, "s21": -0.25},
                {"pair_id": f"{prompt}/0-1", "better": "tie"},
            ][n % 3]
            | {"principle": "plain"},
        ]
    return [*found, {"pair_id": "p0/0-1", "principle": "of-another-run", "score": 1}]


def expected(folder: Path) -> list[tuple[Any, ...]]:
    """By pair and principle: s12, s21, tie."""
    samples = {(row["prompt_id"], row["index"]): row["text"] for row in rows(folder / "runs" / "far" / "sample")}
    found: list[tuple[Any, ...]] = []
    for n, prompt in enumerate(sorted({prompt for prompt, _ in samples})):
        sign = 1.0 if len(samples[prompt, 0]) < len(samples[prompt, 1]) else -1.0
        score = sign * (1.0, 1.0, 2.5)[n % 3]
        found.append((f"{prompt}/0-1", "short", score, score, False))
        own = [(3.0, -0.25, False), (3.0, -0.25, False), (0.0, 0.0, True)][n % 3]
        found.append((f"{prompt}/0-1", "plain", *own))
    return sorted(found)


def judged(folder: Path, run: str = "far") -> list[tuple[Any, ...]]:
    names = ("pair_id", "principle", "s12", "s21", "tie")
    return sorted(tuple(row[name] for name in names) for row in rows(folder / "runs" / run / "judge"))


def save(file: Path, found: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(key for row in found for key in row))
    if file.suffix == ".jsonl":
        file.write_text("\n".join(json.dumps(row) for row in found), encoding="utf-8")
    elif file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([{key: row.get(key) for key in columns} for row in found]), file)
    else:
        with file.open("w", encoding="utf-8-sig", newline="") as handle:
            writer = csv.DictWriter(handle, columns)
            writer.writeheader()
            writer.writerows(found)


def test_a_run_by_what_people_say(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        write(tmp_path, **sections(server.url, name="external", path="said.jsonl"))
        salmon(tmp_path, "run", "salmon.yaml", "--until", "sample", "--set", "judge.judge=self-judge")
        sampled = len(server.asked)
        said = rate(tmp_path)
        save(tmp_path / "said.jsonl", said)
        told = salmon(tmp_path, "run", "salmon.yaml", "--until", "label")
        assert judged(tmp_path) == expected(tmp_path)
        assert any("☃" in (row["reason"] or "") for row in rows(tmp_path / "runs/far/judge"))
        assert "are no verdict or missing" not in told
        # Nobody is asked again by negated principles, or in other words.
        verdict = json.loads((tmp_path / "runs/far/verdict/verdict.json").read_text())
        assert verdict["whole"]["turns_round"] is verdict["whole"]["stays"] is None
        assert rows(tmp_path / "runs/far/label")
        assert len(server.asked) == sampled, "the samples are kept, and no model judges"
        # Other formats say the same, and a changed file is another judgment.
        for ending in ("csv", "parquet"):
            save(tmp_path / f"said.{ending}", said)
            again = ["--until", "judge", "--set", f"judge.judge.path=said.{ending}"]
            assert "already done" in salmon(tmp_path, "run", "salmon.yaml", *again)
            assert judged(tmp_path) == expected(tmp_path), ending
        for row in said:
            if row["principle"] == "short" and row.get("pair_id") == "p0/0-1":
                row["better"] = "tie"
        save(tmp_path / "said.jsonl", said)
        salmon(tmp_path, "run", "salmon.yaml", "--until", "judge")
        changed = set(judged(tmp_path)) - set(expected(tmp_path))
        assert {row[:2] for row in changed} <= {("p0/0-1", "short")}


def test_judgments_that_are_missing(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        write(tmp_path, **sections(server.url, name="external", path="said.jsonl"))
        salmon(tmp_path, "run", "salmon.yaml", "--until", "sample", "--set", "judge.judge=self-judge")
        said = [row for row in rate(tmp_path) if row["principle"] != "short" or row.get("better")]
        save(tmp_path / "said.jsonl", said)
        missing = 9 * 2 - sum(row["principle"] != "of-another-run" for row in said)
        assert missing == 3
        stopped = salmon(tmp_path, "run", "salmon.yaml", "--until", "judge", code=1)
        assert "said.jsonl: lacks " in stopped
        assert "of 4 pairs looked up together: p" in stopped
        assert "under 'short'" in stopped
        assert "(add these rows, or take what is missing for ties (missing: tie))" in stopped
        told = salmon(tmp_path, "run", "salmon.yaml", "--until", "judge", "--set", "judge.judge.missing=tie")
        found = rows(tmp_path / "runs/far/judge")
        assert (sum(row["answers"] for row in found), sum(row["unread"] for row in found)) == (18, missing)
        assert all(row["tie"] and row["s12"] == 0 for row in found if row["unread"])
        assert f"{missing} of 18 answers of the judge are no verdict or missing, and were left out: short 3" in told


def test_all_bad_rows_are_said_before_a_run(tmp_path: Path) -> None:
    write(tmp_path, **sections(NOBODY, name="external", path="said.jsonl"))
    missing = salmon(tmp_path, "check", "salmon.yaml", code=2)
    assert "judge.judge.path: there is no file 'said.jsonl'" in missing
    good = {"pair_id": "p0/0-1", "principle": "short"}
    bad: list[tuple[Row, str]] = [
        (good, "says what is better by one of better, score, and s12 with s21"),
        (good | {"better": "first", "score": 1}, "says what is better by one of"),
        (good | {"s12": 1}, "s12 and s21 come together"),
        (good | {"score": "much"}, "column score: Input should be a valid number, not 'much'"),
        (good | {"score": True}, "column score: is true or false, not a number"),
        (good | {"score": "inf"}, "column score: Input should be a finite number"),
        (good | {"better": "1"}, "column better: Input should be 'first', 'second' or 'tie', not '1'"),
        ({"pair_id": "p0/0-1", "score": 1}, "column principle: is required"),
        ({"principle": "short", "score": 1}, "names no pair: it needs pair_id, or first and second with"),
        ({"principle": "short", "score": 1, "prompt": "p", "first": "x"}, "has no pair_id, so it needs the texts of"),
        ({"principle": "short", "score": 1, "prompt": "p", "first": "x", "second": " x"}, "has the same text twice"),
        (
            {"principle": "short", "score": 1, "messages": [{"role": "user"}], "first": "x", "second": "y"},
            "a turn is {role: system | user | assistant, content: TEXT}",
        ),
    ]
    lines = [json.dumps(row) for row, _ in bad]
    twice = {"principle": "short", "prompt": "p", "score": 1}
    lines.append(json.dumps(twice | {"first": "x", "second": "y"}))
    lines.append(json.dumps(twice | {"first": "y", "second": "x"}))
    (tmp_path / "said.jsonl").write_text("\n".join(lines))
    said = salmon(tmp_path, "check", "salmon.yaml", quick=False, code=2)
    for number, (_, message) in enumerate(bad, 1):
        assert any(f"said.jsonl: line {number}" in line and message in line for line in said.splitlines()), message
    assert "said.jsonl: line 14: judges a pair under 'short' again (first at " in said
    assert "said.jsonl: line 13:" not in said
    (tmp_path / "said.jsonl").write_text("\n".join(lines * 4))
    said = salmon(tmp_path, "check", "salmon.yaml", quick=False, code=2)
    assert re.search(r"\.\.\. and \d+ more", said), "a screen's worth is told"
    assert said.count("says what is better by one of") < 8
    (tmp_path / "said.jsonl").write_text(lines[0] + '\n{"pair_id": ')
    said = salmon(tmp_path, "check", "salmon.yaml", quick=False, code=2)
    assert "line 1: says what is better" in said
    assert "line 2: is not JSON" in said
    (tmp_path / "said.jsonl").write_text("\n")
    assert "said.jsonl: has no rows" in salmon(tmp_path, "check", "salmon.yaml", quick=False, code=2)


def test_principles_without_a_row(tmp_path: Path) -> None:
    write(tmp_path, **sections(NOBODY, name="external", path="said.jsonl"))
    save(tmp_path / "said.jsonl", [{"pair_id": "p0/0-1", "principle": name, "score": 1} for name in ("short", "plian")])
    said = salmon(tmp_path, "check", "salmon.yaml", quick=False, code=2)
    assert "no row judges by 'plain'; did you mean 'plian'?" in said
    assert "its rows are about short, plian" in said
    salmon(tmp_path, "check", "salmon.yaml", "--set", "judge.judge.missing=tie", quick=False)
    plan = json.loads(salmon(tmp_path, "plan", "--json", "salmon.yaml", quick=False))
    assert (plan["judge"]["counts"]["calls"], plan["verdict"]["counts"]["calls"]) == (0, 0)
    assert "the judge external asks no model" in salmon(tmp_path, "plan", "salmon.yaml", quick=False)


def test_rows_that_contradict_each_other(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        write(tmp_path, **sections(server.url, name="external", path="said.jsonl", missing="tie"))
        salmon(tmp_path, "run", "salmon.yaml", "--until", "sample", "--set", "judge.judge=self-judge")
        said = rate(tmp_path)
        named = next(row for row in said if row.get("prompt_id") and row["principle"] == "short")
        agreeing = {"pair_id": f"{named['prompt_id']}/0-1", "principle": "short", "score": named["score"]}
        save(tmp_path / "said.jsonl", [*said, agreeing])
        salmon(tmp_path, "run", "salmon.yaml", "--until", "judge")
        assert judged(tmp_path) == expected(tmp_path)
        save(tmp_path / "said.jsonl", [*said, agreeing | {"score": 0.5}])
        stopped = salmon(tmp_path, "run", "salmon.yaml", "--until", "judge", code=1)
        assert f"contradicts another row about pair {agreeing['pair_id']} under 'short' (the other one is " in stopped


TEXT = st.text(st.sampled_from("ab \n\r\t,\"'") | st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


@given(TEXT, TEXT, st.floats(-9, 9), st.floats(-9, 9))
def test_a_row_turned_round_says_the_opposite(first: str, second: str, s12: float, s21: float) -> None:
    """By any texts: the row's own order, and the other."""
    import tempfile

    own = pair("x", first or "1", second or "2", prompt="Why?")
    turned = pair("x", own.second.text, own.first.text, prompt="Why?")
    row = {"prompt": "Why?", "first": own.first.text, "second": own.second.text, "principle": "p"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "said.jsonl"
        file.write_text(json.dumps(row | {"s12": s12, "s21": s21}))
        if own.first.text.strip() == own.second.text.strip():
            with pytest.raises(ConfigError, match="has the same text twice"):
                JudgedRows(file)
            return
        said = JudgedRows(file)
    (straight,), (other,) = said.of(own, "p"), said.of(turned, "p")
    assert (straight.s12, straight.s21) == (s12, s21)
    assert (other.s12, other.s21) == (-s21, -s12)
    assert said.of(own, "q") == []
    assert said.of(pair("x", own.first.text, own.second.text, prompt="Who?"), "p") == []
