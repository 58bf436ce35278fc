"""Two runs of the toy world of `tests/core`, as far as studies need them, and a study of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core_world import make_folder, salmon
from study_world import PROMPTS


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs `one` and `other`, which differ in their seed; only what studies make is written there."""
    folder = tmp_path_factory.mktemp("study")
    make_folder(folder, train={"algorithm": "none"}, evaluate=[])
    lines = [{"id": f"p{i}", "prompt": f"Question number {i}?", "split": "test"} for i in range(PROMPTS)]
    lines.append({"id": "trained", "prompt": "What is trained on?", "split": "train"})
    (folder / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, seed in (("one", 1), ("other", 2)):
        settings = ("--set", f"run.name={name}", "--set", f"run.seed={seed}")
        done = salmon("run", "salmon.yaml", "--until", "prompts", *settings, cwd=folder)
        assert done.code == 0, done.text
    return folder


@pytest.fixture(scope="session")
def made(runs: Path) -> Path:
    """A study of both by two principles and overall; do not rate it."""
    argv = ("runs/one", "runs/other", "--principles", "short,kind", "--overall", "--seed", "7", "--out", "made.json")
    done = salmon("study", "make", *argv, cwd=runs)
    assert done.code == 0, done.text
    return runs / "made.json"
