"""The example: a base model makes demonstrations, engraves them, and answers better without a preamble."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from processes import below
from self_align_world import command, environment, run

pytestmark = pytest.mark.slow


def rows(run_folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(run_folder / "self-align" / name).to_pylist()
    return found


def test_held_out_answers_are_better_than_the_bases(aligned: tuple[Path, str]) -> None:
    """By more than chance: the intervals, over prompts, lie above 0."""
    report = json.loads((aligned[0] / "report.json").read_text())
    rates = report["evaluators"]["minnow-oracle"]["rates"]
    for name in ("language_match", "helpful", "vivid", "example", "stopped"):
        assert rates[name]["change"]["low"] > 0, (name, rates[name])
    assert rates["self_praise"]["change"]["high"] < 0
    assert rates["language_match"]["after"]["value"] > 0.8
    assert {target["name"] for target in report["targets"]} >= {"language_match", "helpful", "self_praise"}


def test_demonstrations_have_neither_preamble_nor_thought(aligned: tuple[Path, str]) -> None:
    made = rows(aligned[0], "demonstrations.parquet")
    assert len(made) > 300
    for row in made:
        assert row["made_by"] == "principles"
        assert row["source"] in ("run", "generated")
        assert row["thought"].startswith("should ")
        assert "should " not in row["completion"]
        assert "Thought" not in row["completion"]
    assert sum(bool(row["named"]) for row in made) > 0.9 * len(made)
    texts = pq.read_table(aligned[0] / "sft" / "data" / "train.parquet").to_pylist()
    assert len(texts) == len(made)
    assert texts[0]["prompt"] == f"User: {made[0]['messages'][0]['content']}\nAssistant:\n"
    assert texts[0]["completion"] == made[0]["completion"] + "<|eos|>"


def test_no_held_out_prompt_is_trained_on(aligned: tuple[Path, str]) -> None:
    prompts = pq.read_table(aligned[0] / "prompts" / "prompts.parquet").to_pylist()
    held_out = {row["messages"][-1]["content"] for row in prompts if row["split"] == "test"}
    made = {row["messages"][-1]["content"] for row in rows(aligned[0], "demonstrations.parquet")}
    assert held_out
    assert not held_out & made


def test_what_was_left_out_is_counted_by_reason(aligned: tuple[Path, str]) -> None:
    folder, printed = aligned
    metrics = json.loads((folder / "self-align" / "manifest.json").read_text())["metrics"]
    dropped = rows(folder, "dropped.parquet")
    for what, key in (("question", "questions"), ("answer", "answers")):
        counted = metrics[f"{key}_dropped"]
        assert sum(counted.values()) == sum(row["what"] == what for row in dropped)
    assert metrics["questions"] == 60
    assert metrics["answers"] == 2 * metrics["prompts"]
    assert metrics["answers_kept"] == metrics["demonstrations"] == len(rows(folder, "demonstrations.parquet"))
    assert metrics["answers_kept"] + sum(metrics["answers_dropped"].values()) == metrics["answers"]
    assert f"demonstrations: {metrics['demonstrations']} of its own" in " ".join(printed.split())


def test_a_killed_stage_goes_on_to_the_same_files(aligned: tuple[Path, str], tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    stage = tmp_path / "minnow-self-align" / "self-align"
    deadline = time.monotonic() + 240
    while not (stage / "answers-00000.parquet").is_file():
        assert process.poll() is None, process.stdout and process.stdout.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = below(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(children, timeout=60)
    assert not (stage / "demonstrations.parquet").exists()
    first = (stage / "answers-00000.parquet").stat().st_mtime_ns
    done = run(tmp_path, "--until", "self-align")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (stage / "answers-00000.parquet").stat().st_mtime_ns == first
    whole = aligned[0] / "self-align"
    names = sorted(path.name for path in whole.glob("*.parquet"))
    assert names == sorted(path.name for path in stage.glob("*.parquet"))
    assert [name for name in names if (whole / name).read_bytes() != (stage / name).read_bytes()] == []


def test_a_lost_shard_alone_is_made_again(aligned: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "minnow-self-align"
    shutil.copytree(aligned[0], folder, ignore=shutil.ignore_patterns("evaluate"))
    lost, other = (folder / "self-align" / f"answers-0000{number}.parquet" for number in (1, 0))
    before, kept = lost.read_bytes(), other.stat().st_mtime_ns
    lost.unlink()
    done = run(tmp_path, "--until", "self-align")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answers-00001.parquet is missing" in " ".join((done.stdout + done.stderr).split())
    assert lost.read_bytes() == before
    assert other.stat().st_mtime_ns == kept


def test_thorough_answers_stand_beside_the_first_ones(tmp_path: Path) -> None:
    """And no thoughts: all that the model says is the answer."""
    changes = ("self_align.verbose.keep=both", "self_align.thoughts=false", "prompts.limit=16")
    settings = [part for each in (*changes, "self_align.questions.generate=8") for part in ("--set", each)]
    done = run(tmp_path, *settings, "--until", "self-align")
    assert done.returncode == 0, done.stdout + done.stderr
    made = rows(tmp_path / "minnow-self-align", "demonstrations.parquet")
    assert {row["made_by"] for row in made} == {"principles", "verbose"}
    assert {row["source"] for row in made} == {"run", "generated"}
    assert not any(row["thought"] for row in made)
    first, second = ({row["id"] for row in made if row["made_by"] == way} for way in ("principles", "verbose"))
    assert second <= first
    assert len(first) <= 24
