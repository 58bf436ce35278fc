"""RL by the real OpenRLHF through `salmon run`: its world, its configuration, and what a run leaves."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from openrlhf_world import RL_ANYWHERE, ROOT, interpreter, minnow, salmon, write_config

from salmon_core.data.rollouts import read_rollout_rows
from salmon_openrlhf.backend import OpenRLHFBackend

COMMON = {
    **RL_ANYWHERE,
    "learning_rate": 5e-4,
    "generation_batch_size": 80,
    "total_batch_size": 80,
    "per_device_train_batch_size": 80,
    "num_iterations": 1,
    "max_prompt_length": 64,
    "max_completion_length": 56,
    "temperature": 0.8,
    "log_rollouts_every": 1,
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the policy, and the embedded world's reward model (trained by the other backend).

    SALMON_TEST_REWARD_MODEL, a finished `train-rm/model` of examples/minnow.yaml, saves its training.
    """
    folder = tmp_path_factory.mktemp("rl")
    if trained := os.environ.get("SALMON_TEST_REWARD_MODEL"):
        shutil.copytree(trained, folder / "runs" / "rm" / "train-rm" / "model")
        return folder
    document = yaml.safe_load((ROOT / "examples" / "minnow.yaml").read_text())
    document |= {"train": {"algorithm": "none"}, "evaluate": [], "expect": []}
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "reward-model"  # for all these processes
    made.mkdir(exist_ok=True)
    document["policy"]["model"] = str(minnow(made))
    document["run"] = {"name": "rm", "seed": 1, "folder": str(made / "runs")}
    with (made / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        salmon("run", write_config(made / "rm.yaml", document), "--until", "train-rm")
    (folder / "runs").mkdir()
    shutil.copytree(made / "runs" / "rm", folder / "runs" / "rm")
    return folder


def configure(world: Path, name: str, algorithm: str, options: dict[str, Any], **more: Any) -> Path:
    document = yaml.safe_load((ROOT / "examples" / "minnow.yaml").read_text())
    document |= {
        "run": {"name": name, "seed": 1, "folder": str(world / "runs")},
        "reward_model": {"path": str(world / "runs" / "rm" / "train-rm" / "model")},
        "train": {
            "backend": "openrlhf",
            "algorithm": algorithm,
            "python": str(interpreter(world)),
            "options": {**COMMON, **options},
        },
        "evaluate": [],
        "expect": [],
        **more,
    }
    document["policy"]["model"] = str(minnow(world))
    return write_config(world / f"{name}.yaml", document)


def steps(run: Path) -> list[tuple[int, dict[str, float]]]:
    return [(logged.step, dict(logged.values)) for logged in OpenRLHFBackend().steps(run / "train-policy")]


def rollouts(run: Path) -> list[dict[str, Any]]:
    """As the reward server wrote them, principles by the names that a breakdown has."""
    lines = list(read_rollout_rows(run / "train-policy"))
    for line in lines:
        line["principles"] = [f"not {p['name']}" if p["negated"] else p["name"] for p in line["principles"]]
    return lines


def killed_once(config: Path, run: Path, *parts: str) -> Path:
    """Runs; is killed when all parts have their first checkpoint; runs on."""
    process = subprocess.Popen([sys.executable, "-m", "salmon_core", "run", str(config)])
    folder = run / "train-policy" / "checkpoints"
    deadline = time.monotonic() + 1800
    while not all((folder / part / "latest").exists() for part in parts) and time.monotonic() < deadline:
        assert process.poll() is None, (run / "train-policy" / "log.txt").read_text()[-3000:]
        time.sleep(0.2)
    time.sleep(1)  # into the step after it
    process.send_signal(signal.SIGKILL)
    process.wait()
    salmon("run", config)
    return run


SMALL = {"generation_batch_size": 40, "total_batch_size": 40, "per_device_train_batch_size": 40, "save_steps": 2}


def check_steps(run: Path, count: int, *more: str) -> None:
    """One line for each step, whose reward is that of the rollouts written down."""
    found, lines = steps(run), rollouts(run)
    assert [step for step, _ in found] == list(range(1, count + 1))
    assert all({"loss", "reward", "vllm_kl", "reward/rm/mean", *more} <= values.keys() for _, values in found)
    assert all(abs(values["vllm_kl"]) < 0.05 for _, values in found)
    for index, (_, values) in enumerate(found):
        mine = [line["reward"] for line in lines if line["rollout_index"] == index]
        assert len(mine) == 40
        assert values["reward"] == pytest.approx(sum(mine) / len(mine), abs=1e-4)
