"""Other algorithms by the real OpenRLHF, what each principle gave, kills, and what ends a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean

import pytest
import yaml
from openrlhf_world import PYTHON, salmon, write_config
from rl_world import SMALL, check_steps, configure, killed_once, rollouts, steps, world  # noqa: F401  (a fixture)

from salmon_core.data.rollouts import rollout_files
from salmon_minnow.world import PROMPTS

pytestmark = [pytest.mark.openrlhf, pytest.mark.slow]

#: the others run by `make prove-openrlhf`: what differs is a flag of OpenRLHF's own
ALGORITHMS = ("reinforce++", "rloo", "reinforce++-baseline") if os.environ.get("SALMON_OPENRLHF_ALL") else ("rloo",)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_algorithms_run(world: Path, algorithm: str) -> None:  # noqa: F811
    """Some prompts bring a principle of their own, and the trainer's numbers say what each principle gave."""
    options = {**SMALL, "num_generations": 1 if algorithm == "reinforce++" else 4, "max_steps": 3}
    own = [{"name": "own", "text": "The answer gives an example."}]
    asked = [
        {"id": p.id, "prompt": p.text, "category": p.category, "split": "train"} for p in PROMPTS if not p.held_out
    ]
    asked = [row | ({"principles": own} if number % 2 else {}) for number, row in enumerate(asked)]
    name = algorithm.replace("+", "p")
    (world / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    config = configure(world, name, algorithm, options, prompts={"name": f"./{name}.jsonl"})
    document = yaml.safe_load(config.read_text())
    document["reward"] |= {"combine": "mean", "show": 2}
    document["reward"]["principles"]["per_prompt"] = "add"
    salmon("run", write_config(config, document))
    run = world / "runs" / name
    check_steps(run, 3)
    found = steps(run)
    assert "critic_loss" not in found[0][1]
    for index, (_, values) in enumerate(found):
        gave: dict[str, list[float]] = {}
        for line in rollouts(run):
            if line["rollout_index"] == index:
                for principle, score in line["by_principle"].items():
                    gave.setdefault(principle, []).append(score)
        assert "own" in gave
        said = {key: value for key, value in values.items() if key.startswith("reward/principle/")}
        assert said == pytest.approx({f"reward/principle/{key}": fmean(each) for key, each in gave.items()}, abs=1e-4)


_TRAINED = """
import sys, torch
print("STEPS", torch.load(sys.argv[1], map_location="cpu", weights_only=False)["global_steps"])
"""


def test_a_killed_ppo_goes_on_with_its_critic(world: Path) -> None:  # noqa: F811
    options = {**SMALL, "num_generations": 1, "critic_learning_rate": 1e-3, "max_steps": 5}
    run = killed_once(configure(world, "ppo", "ppo", options), world / "runs" / "ppo", "_actor", "_critic")
    check_steps(run, 5, "critic_loss")
    metrics = json.loads((run / "train-policy" / "manifest.json").read_text())["metrics"]
    assert metrics["resumed_from"] in (2, 4)
    for part in ("_actor", "_critic"):  # updates that the weights have seen, over both lives
        folder = run / "train-policy" / "checkpoints" / part
        (state,) = (folder / (folder / "latest").read_text().strip()).glob("*model_states.pt")
        done = subprocess.run([PYTHON, "-c", _TRAINED, str(state)], capture_output=True, text=True, check=True)
        assert f"STEPS {(folder / 'latest').read_text().strip().removeprefix('global_step')}" in done.stdout


def test_a_killed_reward_server_ends_the_run_and_loses_nothing(world: Path) -> None:  # noqa: F811
    options = {**SMALL, "num_generations": 4, "max_steps": 4}
    config, run = configure(world, "dead", "grpo", options), world / "runs" / "dead"
    process = subprocess.Popen(
        [sys.executable, "-m", "salmon_core", "run", str(config)], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 900
    while not rollout_files(run / "train-policy") and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(json.loads((run / "train-policy" / "services" / "reward.json").read_text())["pid"], signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "the service reward died" in said
    assert "Traceback" not in said
    assert not (run / "train-policy" / "model").exists()
    salmon("run", config)
    check_steps(run, 4)


BROKEN = '''
"""A bonus that fails on its first rollout."""
from salmon_core import Component, hookimpl


class Broken:
    def score_one(self, rollout):
        raise RuntimeError("the bonus is out of order")


@hookimpl
def salmon_bonuses():
    yield Component("broken", Broken, "fails")
'''


def test_a_failing_bonus_ends_the_run_with_its_name(world: Path) -> None:  # noqa: F811
    (world / "broken_bonus.py").write_text(BROKEN)
    config = configure(world, "broken", "grpo", {"num_generations": 8, "max_steps": 1}, plugins=["./broken_bonus.py"])
    document = yaml.safe_load(config.read_text())
    document["reward"]["bonuses"] = [{"name": "broken"}]
    started = time.monotonic()
    failed = salmon("run", "--quick", write_config(config, document), code=1)  # a check would find it
    assert "broken" in failed.stderr
    assert "the bonus is out of order" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert time.monotonic() - started < 1200
