"""DPO on the embedded world through the real command: from the policy's own judgments, without a reward model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import checkpointed, kill_when

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "examples" / "minnow.yaml"
OPTIONS = (
    "{learning_rate: 3.0e-4, total_batch_size: 16, per_device_train_batch_size: 16, max_length: 256, logging_steps: 1,"
    " max_steps: 24, save_steps: 4, threads: 1}"
)
SMALL = [
    "sample={samples: 4, temperature: 1.0, max_new_tokens: 48, batch_size: 64, shard_size: 26}",
    "label.repeats=8",
    f"train={{backend: trl, algorithm: dpo, rows: {{only: [vivid, example]}}, options: {OPTIONS}}}",
    "evaluate=[{name: minnow-oracle, samples: 2}]",
    "expect=[]",
]

pytestmark = pytest.mark.slow


def command(folder: Path) -> list[str]:
    argv = [sys.executable, "-m", "salmon_core", "run", str(CONFIG), "--quick"]
    for override in [f"run.folder={folder}", *SMALL]:
        argv += ["--set", override]
    return argv


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def logged(run: Path) -> list[dict[str, float]]:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = [each for each in events if each["event"] == "StepLogged" and each["stage"] == "train-policy"]
    return [step["values"] for step in steps]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(command(folder), env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "were decided by a negated principle and are left out" in done.stderr
    return folder / "minnow"


def test_it_learns_what_was_judged_better(undisturbed: Path) -> None:
    """The implicit reward prefers the better answers more and more, and the policy gives more of them."""
    steps = logged(undisturbed)
    assert len(steps) == 24
    assert mean([step["rewards/accuracies"] for step in steps[-6:]]) > 0.6
    assert mean([step["rewards/margins"] for step in steps[-6:]]) > mean([s["rewards/margins"] for s in steps[:6]]) > 0
    report = json.loads((undisturbed / "report.json").read_text())
    assert report["algorithm"] == "dpo"
    targets = {target["name"]: target["change"] for target in report["targets"]}
    assert targets["vivid"] > 0
    assert targets["example"] > 0


def test_no_reward_model_was_trained(undisturbed: Path) -> None:
    assert not (undisturbed / "train-rm").exists()
    report: dict[str, Any] = json.loads((undisturbed / "report.json").read_text())
    assert report["rm"] == {}
    assert "train-rm" not in report["stages"]
    card = (undisturbed / "train-policy" / "model" / "README.md").read_text()
    assert "trained with dpo on preferences by principles" in card
    assert "against a reward" not in card
    done = subprocess.run(command(undisturbed.parent), env=environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert done.stderr.count("already done") == 7


def test_killed_it_goes_on_to_the_same_policy(undisturbed: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    run = tmp_path / "minnow"
    shutil.copytree(undisturbed, run)
    for stage in ("train-policy", "evaluate"):
        shutil.rmtree(run / stage)
    (run / "events.jsonl").unlink()
    kill_when(command(tmp_path), checkpointed(run / "train-policy"), env=environment())
    done = subprocess.run(command(tmp_path), env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((run / "train-policy" / "manifest.json").read_text())["metrics"]["resumed_from"] > 0
    one, other = (load_file(path / "train-policy" / "model" / "model.safetensors") for path in (undisturbed, run))
    assert set(one) == set(other)
    assert all(bool((one[name] == other[name]).all()) for name in one)
    assert [step["loss"] for step in logged(run)] == [step["loss"] for step in logged(undisturbed)]
