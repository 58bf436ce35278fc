"""DPO by the real OpenRLHF after its SFT, through `salmon run`; killed once."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from openrlhf_world import ANYWHERE, interpreter, minnow, salmon, write_config

from salmon_openrlhf.backend import OpenRLHFBackend

pytestmark = [pytest.mark.openrlhf, pytest.mark.slow]
WORDS = ["red", "green", "blue", "small", "large", "quick", "slow", "warm", "cold", "house", "tree", "river", "bird"]
ROWS, BATCH, EPOCHS, SAVED_AT = 96, 16, 2, 4
STEPS = ROWS // BATCH * EPOCHS
SMALL = {**ANYWHERE, "total_batch_size": BATCH, "per_device_train_batch_size": BATCH, "max_length": 128}


def words(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 5)))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SFT on a few demonstrations, then preferences for answers that end in `red`."""
    folder = tmp_path_factory.mktemp("dpo")
    rng = random.Random(5)
    demos = [{"prompt": words(rng), "completion": f"{words(rng)} river"} for _ in range(2 * BATCH)]
    pairs = []
    for _ in range(ROWS):
        said = words(rng)
        pairs.append({"prompt": words(rng), "chosen": f"{said} red", "rejected": f"{said} blue", "principle": "vivid"})
    for name, rows in (("demos", demos), ("pairs", pairs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document: dict[str, Any] = {
        "run": {"name": "dpo", "seed": 3, "folder": str(folder / "runs")},
        "policy": {"model": str(minnow(folder)), "template": "minnow", "dtype": "float32"},
        "prompts": "plugin:minnow",
        "limits": {"prompt": 24, "completion": 24, "total": 128},
        "sft": {"data": "demos.jsonl", "backend": "openrlhf", "options": {**SMALL, "learning_rate": 1e-3}},
        "preferences": "pairs.jsonl",
        "judge": {"principles": "minnow"},
        "reward": {"rm_weight": 0, "bonuses": [{"name": "missing-stop"}]},
        "train": {
            "backend": "openrlhf",
            "algorithm": "dpo",
            "python": str(interpreter(folder)),
            "options": {
                **SMALL,
                "learning_rate": 1e-3,
                "num_train_epochs": EPOCHS,
                "save_steps": SAVED_AT,
                "nll_loss_coef": 0.01,
            },
        },
        "evaluate": [{"name": "minnow-oracle", "samples": 1}],
    }
    return write_config(folder / "config.yaml", document)


@pytest.fixture(scope="module")
def run(config: Path) -> Path:
    """A finished run that was killed after the first checkpoint of DPO."""
    found = config.parent / "runs" / "dpo"
    process = subprocess.Popen([sys.executable, "-m", "salmon_core", "run", str(config), "--quick"])
    stage, deadline = found / "train-policy", time.monotonic() + 600
    while not (stage / "checkpoints" / "latest").exists() and time.monotonic() < deadline:
        assert process.poll() is None, (stage / "log.txt").read_text()[-2000:]
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    salmon("run", config, "--quick")
    return found


def manifest(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / stage / "manifest.json").read_text())
    return found


def test_a_killed_run_goes_on(run: Path) -> None:
    metrics = manifest(run, "train-policy")["metrics"]
    assert metrics["resumed_from"] >= SAVED_AT
    assert (metrics["steps"], metrics["rows"], metrics["rows_left_out"]) == (STEPS, ROWS, 0)
    assert not (run / "train-rm").exists()


def test_it_learns_what_is_preferred(run: Path) -> None:
    steps = list(OpenRLHFBackend().steps(run / "train-policy"))
    assert [logged.step for logged in steps] == list(range(1, STEPS + 1))
    first, last = steps[0].values, steps[-1].values
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-3)  # policy and reference are one model
    assert last["loss"] < 0.8 * first["loss"]
    assert last["accuracy"] > 0.9
    assert last["chosen_reward"] > last["reject_reward"]
    assert last["nll_loss"] > 0


def test_its_model_is_plain_and_starts_from_sfts(run: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    before, after = (load_file(run / stage / "model" / "model.safetensors") for stage in ("sft", "train-policy"))
    assert before.keys() == after.keys()
    assert all(before[name].shape == after[name].shape for name in before)
    assert any(not before[name].equal(after[name]) for name in before)
    for name in ("config.json", "tokenizer.json", "chat_template.jinja"):
        texts = [(run / stage / "model" / name).read_text() for stage in ("sft", "train-policy")]
        assert texts[0] == texts[1], name
    AutoModelForCausalLM.from_pretrained(run / "train-policy" / "model")
    assert json.loads((run / "train-policy" / "job.json").read_text())["model"]["path"] == str(run / "sft" / "model")


def test_what_comes_after_takes_it(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    assert report["algorithm"] == "dpo"
    assert report["targets"]
    assert "dpo" in (run / "train-policy" / "model" / "README.md").read_text().lower()
    tried = json.loads(salmon("try", run, "--prompt", "a small bird", "--json").stdout)
    assert [answer["by"] for answer in tried["answers"]] == ["before", "after"]
    assert "Assistant:" in salmon("show", "policy", run).stdout


@pytest.mark.skipif(not os.environ.get("SALMON_OPENRLHF_ALL"), reason="one more training: make prove-openrlhf")
def test_an_adapter_is_merged(run: Path, config: Path) -> None:
    from safetensors.torch import load_file

    other = run.with_name("adapter")
    for stage in ("prompts", "sft"):
        shutil.copytree(run / stage, other / stage)
    more = (
        "run.name=adapter",
        "train.options.lora={r: 8, alpha: 16}",
        "train.options.num_train_epochs=1",
        "evaluate=[]",
    )
    salmon("run", config, "--quick", *(word for option in more for word in ("--set", option)))
    steps = list(OpenRLHFBackend().steps(other / "train-policy"))
    assert steps[0].values["loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert steps[-1].values["loss"] < steps[0].values["loss"]
    assert not (other / "train-policy" / "model" / "adapter_config.json").exists()
    start, after = (load_file(other / stage / "model" / "model.safetensors") for stage in ("sft", "train-policy"))
    # Its embeddings are tied: a trainer may write the head as well, which has nothing of its own.
    assert json.loads((other / "train-policy" / "model" / "config.json").read_text())["tie_word_embeddings"]
    assert start.keys() - {"lm_head.weight"} == after.keys() - {"lm_head.weight"}
    changed = {
        name
        for name in after
        if name != "lm_head.weight" and not start[name].float().allclose(after[name].float(), atol=1e-3)
    }
    assert "model.layers.0.self_attn.q_proj.weight" in changed
    assert "model.embed_tokens.weight" not in changed
