"""Two processes on a CPU: the same numbers as one, and both hold the same critic."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
import trl_world as world

from salmon_core.api import Job
from salmon_trl.backend import TRLBackend

pytestmark = pytest.mark.slow


#: two processes on a CPU; accelerate starts only one if the file says `use_cpu: true`
ACCELERATE = """\
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
num_machines: 1
num_processes: 2
main_process_port: 0
use_cpu: false
"""


def job(folder: Path, policy: Path, reward_model: Path, sharing: str, processes: int, **launch: str) -> Job:
    """The most likely token always, so that both runs see the same completions; SGD, so that gradients can be read
    off the weights."""
    options: dict[str, Any] = {
        "per_device_train_batch_size": 8 // processes,
        "learning_rate": 0.05,
        "lr_scheduler_type": "constant",
        "max_completion_length": 16,
        "save_steps": 2,
        "extra": {"top_k": 1, "optim": "sgd"},
    }
    if sharing == "adapters":
        options |= {"sharing": "adapters", "lora": ppo.LORA, "merge": False}
    return ppo.ppo_job(folder, policy, reward_model, options=options, processes=processes, **launch, rows=16)


#: not clocks, nor deviations that each process takes over its own rows
COMPARED = (
    "loss",
    "grad_norm",
    "entropy",
    "reward",
    "reward/rm/mean",
    "kl",
    "completions/mean_length",
    "value/grad_norm",
    "value/loss",
    "value/clip_fraction",
    "value/mean",
    "value/return",
    "value/explained_variance",
)


@pytest.mark.parametrize(
    ("sharing", "launcher"), [("separate", "torchrun"), ("adapters", "torchrun"), ("separate", "accelerate")]
)
def test_two_processes_compute_what_one_does(
    sharing: str, launcher: str, policy: Path, reward_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "accelerate.yaml").write_text(ACCELERATE)
    launch = {"accelerate_config": str(tmp_path / "accelerate.yaml")} if launcher == "accelerate" else {}
    one = job(tmp_path / "one", policy, reward_model, sharing, 1)
    two = job(tmp_path / "two", policy, reward_model, sharing, 2, **launch)
    a, b = ppo.work(one), Path(two.folder)
    world.run(two)
    TRLBackend().finish(two, b)
    states = sorted(path.name for path in (b / "checkpoints" / "checkpoint-2").glob("rng_state*"))
    assert states == ["rng_state_0.pth", "rng_state_1.pth"], "one of each process"
    x, y = (sorted(world.rollouts(folder), key=lambda line: line["row"]) for folder in (a, b))
    assert [(line["row"], line["completion_ids"]) for line in x] == [
        (line["row"], line["completion_ids"]) for line in y
    ]
    assert [line["reward"] for line in x] == pytest.approx([line["reward"] for line in y], abs=1e-4)
    assert len({line["n_tokens"] for line in x}) > 1, "the test wants ragged completions"
    assert {path.stem[-2:] for path in (b / "rollouts").iterdir()} == {"-0", "-1"}, "each process writes its own"
    first, second = world.steps(a), world.steps(b)
    assert [step for step, _ in first] == [step for step, _ in second] == [1, 2, 3, 4]
    for (step, x), (_, y) in zip(first, second, strict=True):
        names = [name for name in COMPARED if name in x]
        assert len(names) >= 6
        for name in names:
            assert y[name] == pytest.approx(x[name], abs=1e-4, rel=1e-3), f"step {step}: {name}"
    weights = "adapter_model.safetensors" if sharing == "adapters" else "model.safetensors"
    from safetensors.torch import load_file

    for step in (2, 4):
        for name in (weights, "critic/critic.safetensors"):
            files = [load_file(f / "checkpoints" / f"checkpoint-{step}" / name) for f in (a, b)]
            assert set(files[0]) == set(files[1])
            for key, value in files[0].items():
                torch.testing.assert_close(files[1][key], value, atol=1e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")


def test_both_processes_hold_the_same_models(policy: Path, tmp_path: Path) -> None:
    """With data, and random states, of their own; a new adapter is drawn the same on both."""
    script = Path(__file__).with_name("ppo_ranks.py")
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [sys.executable, *launcher, str(script), str(tmp_path), str(policy)],
        env=world.environment(), capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result) == {"separate", "critic adapter", "adapters", "adapters, checkpointing"}
    for values in result.values():
        for name in ("policy", "critic"):
            assert values["before"][name] == 0.0
            assert values["after"][name] == 0.0
            assert values["before"][f"{name} sum"] != values["after"][f"{name} sum"]
        assert len(values["losses"]) == 4
        assert all(map(math.isfinite, values["losses"]))
