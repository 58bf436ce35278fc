"""A reward model on two kinds of preferences, one adapter of the policy's base, killed on the way, and PPO on it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import checkpointed, kill_when

from salmon_minnow.oracle import MEASURES, read
from salmon_minnow.world import draw_answer, draw_prompt

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LORA = "lora: {r: 8, alpha: 16}, merge: false"
FAST = "learning_rate: 3.0e-3, total_batch_size: 16, per_device_train_batch_size: 16, max_length: 256, logging_steps: 1"


def preferences(file: Path, count: int, seed: int, **more: Any) -> Path:
    """The more helpful answer is better."""
    rng, rows = random.Random(seed), []
    while len(rows) < count:
        prompt = draw_prompt(rng)
        worse, better = sorted(
            (draw_answer(prompt, rng) for _ in range(2)), key=lambda text: MEASURES["helpful"](read(prompt, text))
        )
        if MEASURES["helpful"](read(prompt, better)) > MEASURES["helpful"](read(prompt, worse)):
            rows.append({"prompt": prompt.text, "chosen": better, "rejected": worse, **more})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    general = preferences(folder / "general.jsonl", 320, 1)
    own = preferences(folder / "own.jsonl", 96, 2, principle="helpful")
    saving = f"{FAST}, save_steps: 4"
    first = f"{{preferences: {general}, options: {{{saving}, {LORA}, lm_loss_coef: 0.1}}}}"
    overrides = [
        f"run={{name: two, seed: 3, folder: {folder}}}",
        f"preferences={own}",
        f"reward_model={{backend: trl, options: {{{FAST}, {LORA}}}, pretrain: {first}}}",
        "train.options={lora: {r: 8, alpha: 16}, sharing: adapters, max_steps: 2, generation_batch_size: 8,"
        " total_batch_size: 8, per_device_train_batch_size: 8, max_completion_length: 16}",
        "evaluate=[{name: rm-accuracy, truth: minnow, max_pairs: 20}]",
        "expect=[]",
    ]
    argv = [sys.executable, "-m", "salmon_core", "run", str(ROOT / "examples" / "minnow.yaml")]
    argv += [word for override in overrides for word in ("--set", override)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    kill_when(argv, checkpointed(folder / "two" / "pretrain-rm"), env=environment)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "two"


def logged(run: Path, stage: str) -> list[dict[str, float]]:
    """What its steps logged."""
    lines = (run / stage / "steps.jsonl").read_text().splitlines()
    return [json.loads(line)["values"] for line in lines]


def test_it_is_killed_goes_on_and_is_gone_on_from(run: Path) -> None:
    first = json.loads((run / "pretrain-rm" / "manifest.json").read_text())["metrics"]
    assert first["resumed_from"] >= 4
    assert first["steps"] == 20
    before, after = logged(run, "pretrain-rm"), logged(run, "train-rm")
    assert before[-1]["loss"] < before[0]["loss"]
    assert before[-1]["lm_loss"] > 0
    assert "lm_loss" not in after[0]
    # Texts that show a principle are new to it, but it does not begin with a head of zeros.
    assert abs(after[0]["loss"] - 0.693147) > 1e-3


def test_policy_and_reward_share_a_base(run: Path) -> None:
    adapters = [
        json.loads((run / stage / "model" / "adapter_config.json").read_text()) for stage in ("pretrain-rm", "train-rm")
    ]
    assert len({values["base_model_name_or_path"] for values in adapters}) == 1
    report = json.loads((run / "report.json").read_text())
    assert report["stages"]["train-policy"]["metrics"]["steps"] == 2
    assert report["rm"]["positive"]["n"] > 0
    texts = (run / "train-rm" / "model" / "README.md").read_text()
    assert "pre-trained on the preferences of general.jsonl" in texts
