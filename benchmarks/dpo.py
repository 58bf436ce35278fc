"""DPO beside PPO on the embedded world, from the same judgments: oracle rates and the reward model's reward.

    python benchmarks/dpo.py [--seeds 1 2 3] [--steps 96] [FOLDER]

Each seed is sampled, judged and labelled once; then the policy is trained by PPO against the reward model, and by
DPO on the rows that the rewarded principles decided. One reward model, that of PPO's run, scores both.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "examples" / "minnow.yaml"
RATES = ("vivid", "example", "helpful", "self_praise")


def config(folder: Path, name: str, seed: int, **train: Any) -> Path:
    """The example's configuration with another trainer."""
    document = yaml.safe_load(CONFIG.read_text())
    document["run"] = {"name": name, "seed": seed, "folder": str(folder)}
    document["judge"]["on_weak"] = "warn"
    document["evaluate"] = [{"name": "minnow-oracle", "samples": 8}, {"name": "reward-shift", "samples": 8}]
    document["expect"] = []
    document["train"] = document["train"] | train
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def run(file: Path, *more: str) -> None:
    """The real command."""
    argv = [sys.executable, "-m", "salmon_core", "run", str(file), "--quick", *more]
    done = subprocess.run(argv, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)


def dpo(folder: Path, name: str, seed: int, steps: int) -> Path:
    """DPO's configuration: as many pairs in a step as minnow's reward model has."""
    options = {
        "learning_rate": 3.0e-4,
        "total_batch_size": 16,
        "per_device_train_batch_size": 16,
        "max_length": 256,
        "num_train_epochs": 2,
        "max_steps": steps,
        "threads": 1,
    }
    only = yaml.safe_load(CONFIG.read_text())["reward"]["principles"]["only"]
    return config(folder, name, seed, algorithm="dpo", rows={"only": only}, options=options)


def both(folder: Path, seed: int, steps: int) -> dict[str, dict[str, Any]]:
    """-> report by algorithm."""
    first, second = f"ppo-{seed}", f"dpo-{seed}"
    ppo_file, dpo_file = config(folder, first, seed), dpo(folder, second, seed, steps)
    run(ppo_file, "--until", "train-rm")
    shutil.copytree(folder / first, folder / second)
    run(ppo_file)
    run(dpo_file)
    return {name: json.loads((folder / f"{name}-{seed}" / "report.json").read_text()) for name in ("ppo", "dpo")}


def row(report: dict[str, Any]) -> list[str]:
    """Rates after training with their change, then the reward's."""
    targets = {target["name"]: target for target in report["targets"]}
    cells = [f"{targets[name]['after']:.2f} ({targets[name]['change']:+.2f})" for name in RATES if name in targets]
    reward = report["evaluators"]["reward-shift"]["components"]["rm"]
    return [*cells, f"{reward['after']['value']:.2f} ({reward['change']['value']:+.2f})"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=96, help="of DPO's optimizer")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="salmon-dpo-"))
    folder.mkdir(parents=True, exist_ok=True)
    print("| seed | algorithm | " + " | ".join(RATES) + " | rm |", flush=True)
    print("|---" * (len(RATES) + 3) + "|", flush=True)
    for seed in given.seeds:
        for name, report in both(folder.resolve(), seed, given.steps).items():
            print(f"| {seed} | {name} | " + " | ".join(row(report)) + " |", flush=True)


if __name__ == "__main__":
    main()
