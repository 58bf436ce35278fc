"""SFT and the reward model by the real OpenRLHF, through `salmon run`."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from openrlhf_world import ANYWHERE, PYTHON, interpreter, minnow, salmon, write_config

from salmon_core.data.parquet import PREFERENCES, write_rows
from salmon_openrlhf.backend import OpenRLHFBackend

pytestmark = [pytest.mark.openrlhf, pytest.mark.slow]
WORDS = ["red", "green", "blue", "small", "large", "quick", "slow", "warm", "cold", "house", "tree", "river", "bird"]


def words(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 5)))


def preferences(count: int, seed: int) -> list[dict[str, Any]]:
    """The completion that ends in `red` is better than the one that ends in `blue`."""
    rng = random.Random(seed)
    return [
        {
            "pair_id": str(number),
            "messages": [{"role": "user", "content": words(rng)}],
            "category": "general",
            "principles": [{"name": "red", "text": "The answer ends in red.", "negated": False}],
            "chosen": f"{words(rng)} red",
            "rejected": f"{words(rng)} blue",
            "margin": 1.0,
            "decided_by": "red",
            "flipped": False,
        }
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages")
    rng = random.Random(5)
    demos = [{"prompt": words(rng), "completion": f"{words(rng)} river"} for _ in range(64)]
    (folder / "demos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in demos))
    write_rows(folder / "preferences.parquet", preferences(240, 1), PREFERENCES)
    document = {
        "run": {"name": "stages", "seed": 3, "folder": str(folder / "runs")},
        "policy": {"model": str(minnow(folder)), "template": "minnow", "dtype": "float32"},
        "prompts": "plugin:minnow",
        "limits": {"prompt": 24, "completion": 24, "total": 128},
        "sft": {
            "data": "demos.jsonl",
            "backend": "openrlhf",
            "options": {
                **ANYWHERE,
                "learning_rate": 1e-3,
                "total_batch_size": 16,
                "per_device_train_batch_size": 16,
                "num_train_epochs": 3,
                "max_length": 128,
            },
        },
        "preferences": "preferences.parquet",
        "reward_model": {
            "backend": "openrlhf",
            "pretrain": {
                "preferences": "preferences.parquet",
                "principles": "rows",
                "options": {
                    **ANYWHERE,
                    "learning_rate": 2e-3,
                    "total_batch_size": 16,
                    "per_device_train_batch_size": 16,
                    "num_train_epochs": 2,
                    "max_length": 128,
                },
            },
            "options": {
                **ANYWHERE,
                "learning_rate": 2e-3,
                "total_batch_size": 16,
                "per_device_train_batch_size": 16,
                "num_train_epochs": 2,
                "max_length": 128,
                "save_steps": 10,
            },
        },
        "reward": {"principles": "minnow", "show": 1},
        "train": {"backend": "openrlhf", "algorithm": "grpo", "python": str(interpreter(folder))},
    }
    return write_config(folder / "config.yaml", document)


@pytest.fixture(scope="module")
def trained(config: Path) -> Path:
    """A run up to its reward model, killed once in the midst of it."""
    run = config.parent / "runs" / "stages"
    salmon("run", config, "--until", "sft")
    process = subprocess.Popen([sys.executable, "-m", "salmon_core", "run", str(config), "--until", "train-rm"])
    latest = run / "train-rm" / "checkpoints" / "latest"
    deadline = time.monotonic() + 600
    while not latest.exists() and time.monotonic() < deadline:
        assert process.poll() is None, (run / "train-rm" / "log.txt").read_text()[-2000:]
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    salmon("run", config, "--until", "train-rm")
    return run


def manifest(run: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / stage / "manifest.json").read_text())
    return found


def test_sft_learns_and_leaves_a_plain_folder(trained: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    metrics = manifest(trained, "sft")["metrics"]
    assert metrics["steps"] == 12
    losses = [logged.values["loss"] for logged in OpenRLHFBackend().steps(trained / "sft")]
    assert losses[-1] < 0.8 * losses[0]
    model = AutoModelForCausalLM.from_pretrained(trained / "sft" / "model", dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(trained / "sft" / "model")
    ids = tokenizer("red green river", return_tensors="pt", add_special_tokens=False)["input_ids"]
    assert model(ids).logits.isfinite().all()
    start = json.loads((minnow(trained.parents[1]) / "config.json").read_text())
    config = json.loads((trained / "sft" / "model" / "config.json").read_text())
    assert config["architectures"] == start["architectures"]
    assert config["pad_token_id"] == start["pad_token_id"]


def test_a_killed_reward_model_goes_on(trained: Path) -> None:
    metrics = manifest(trained, "train-rm")["metrics"]
    assert metrics["resumed_from"] >= 10
    assert metrics["steps"] == 30
    assert metrics["rows"] == 240


_SCORES = """
import json, sys
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder, texts = sys.argv[1], json.loads(sys.argv[2])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
batch = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
with torch.no_grad():
    print("SCORES", json.dumps(model(**batch).logits[:, 0].tolist()))
"""


def test_the_reward_model_serves_in_both_interpreters(trained: Path) -> None:
    """It scores alike by salmon's engine, by plain transformers here, and by the other version there."""
    from salmon_core.api import ModelSpec
    from salmon_core.reward.rendering import Renderer
    from salmon_core.run.run import Run
    from salmon_transformers.engine import TransformersEngine

    folder = trained / "train-rm" / "model"
    values = json.loads((folder / "config.json").read_text())
    assert values["architectures"] == ["LlamaForSequenceClassification"]
    assert not {"value_head_prefix", "normalize_reward", "mean", "std"} & values.keys()
    run, rows = Run.open(trained), _rows(preferences(60, 2))
    with TransformersEngine().scorer(ModelSpec(str(folder), dtype="float32", device="cpu")) as scorer:
        renderer = Renderer(run.config.template, scorer.codec, limits=run.config.limits)
        requests = [
            renderer.reward(row["messages"], row[side], [row["shown"]])
            for row in rows
            for side in ("chosen", "rejected")
        ]
        ours = [scores[0] for scores in scorer.score(requests)]
    right = sum(good > bad for good, bad in zip(ours[::2], ours[1::2], strict=True))
    assert right >= 48, right
    texts = [request.texts[0] for request in requests[:16]]
    for python in (sys.executable, PYTHON):
        argv = [python, "-c", _SCORES, str(folder), json.dumps(texts)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("SCORES")]
        assert json.loads(line.removeprefix("SCORES ")) == pytest.approx(ours[:16], abs=2e-5)


def test_the_reward_models_card_gives_our_scores(trained: Path) -> None:
    """Its code in plain transformers, as it stands in the card, of both versions; ours without the run."""
    from salmon_core import load_reward
    from salmon_core.sharing.snippet import COMPLETION, PROMPT

    folder = trained / "train-rm" / "model"
    plain = (folder / "README.md").read_text().split("```python\n")[2].split("```")[0]
    with load_reward(folder) as reward:
        ours = reward(PROMPT, COMPLETION, "red").total
    for python in (sys.executable, PYTHON):
        done = subprocess.run([python, "-c", plain], cwd=folder, capture_output=True, text=True, check=True)
        name, score = done.stdout.split()
        assert name == "red"
        assert float(score) == pytest.approx(ours, abs=1e-5)


def _rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from salmon_core.records import ShownPrinciple

    return [{**row, "shown": tuple(ShownPrinciple(**each) for each in row["principles"])} for row in found]


def test_the_loss_of_every_step_is_logged(trained: Path) -> None:
    steps = list(OpenRLHFBackend().steps(trained / "train-rm"))
    assert [logged.step for logged in steps] == list(range(1, 31))
    assert all({"loss", "accuracy", "learning_rate"} <= logged.values.keys() for logged in steps)
    assert steps[-1].values["loss"] < steps[0].values["loss"]


def test_it_goes_on_from_what_it_was_pretrained_to(trained: Path) -> None:
    """With the head: with a fresh one its first loss would be that of a coin."""
    first, second = (
        [logged.values["loss"] for logged in OpenRLHFBackend().steps(trained / stage)]
        for stage in ("pretrain-rm", "train-rm")
    )
    assert first[0] > 0.6
    assert second[0] < 0.5 * first[0]


def test_an_sft_adapter_is_merged(config: Path) -> None:
    run = config.parent / "runs" / "adapter"
    options = ("run.name=adapter", "sft.options.lora={r: 8, alpha: 16}", "sft.options.num_train_epochs=1")
    salmon("run", config, "--until", "sft", *(word for option in options for word in ("--set", option)))
    from safetensors.torch import load_file

    assert not (run / "sft" / "model" / "adapter_config.json").exists()
    weights, start = (
        load_file(folder / "model.safetensors") for folder in (run / "sft" / "model", minnow(config.parent))
    )
    name = "model.layers.0.self_attn.q_proj.weight"
    assert weights[name].shape == start[name].shape
    assert not weights[name].float().allclose(start[name].float(), atol=1e-3)
