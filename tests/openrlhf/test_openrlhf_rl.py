"""RL by the real OpenRLHF with vLLM and DeepSpeed, rewarded by salmon's server, through `salmon run`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml
from openrlhf_world import PYTHON, RL_ANYWHERE, ROOT, interpreter, minnow, salmon, write_config

from salmon_core.data.rollouts import read_rollout_rows, rollout_files
from salmon_minnow.world import PROMPTS
from salmon_openrlhf.backend import OpenRLHFBackend

pytestmark = [pytest.mark.openrlhf, pytest.mark.slow]
STEPS, KILLED_AT, INTERVENED_AT = 24, 8, 4
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
    document["policy"]["model"] = str(minnow(folder))
    document["run"] = {"name": "rm", "seed": 1, "folder": str(folder / "runs")}
    document |= {"train": {"algorithm": "none"}, "evaluate": [], "expect": []}
    salmon("run", write_config(folder / "rm.yaml", document), "--until", "train-rm")
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


def in_force(index: int) -> bool:
    """Whether the intervention is shown in a generated batch."""
    return INTERVENED_AT <= index < INTERVENED_AT + 2


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


@pytest.fixture(scope="session")
def grpo(world: Path) -> Path:
    """A whole run, killed once after its first checkpoint."""
    config = configure(
        world,
        "grpo",
        "grpo",
        {"num_generations": 8, "beta": 0.08, "max_steps": STEPS, "save_steps": KILLED_AT},
        evaluate=[{"name": "minnow-oracle", "samples": 8}],
    )
    document = yaml.safe_load(config.read_text())
    document["reward"]["interventions"] = [
        {"principle": "steps", "text": "The answer gives numbered steps.", "from_rollout": INTERVENED_AT,
         "until_rollout": INTERVENED_AT + 2}
    ]  # fmt: skip
    return killed_once(write_config(config, document), world / "runs" / "grpo", "_actor")


def test_the_policy_learns_what_no_bonus_touches(grpo: Path) -> None:
    report = json.loads((grpo / "report.json").read_text())
    targets = {target["name"]: target for target in report["targets"]}
    best = max(targets.values(), key=lambda target: target["after"] - target["before"])
    assert best["after"] - best["before"] >= 0.10, targets
    assert best["ci"][0] > 0
    assert not best.get("touched_by")


def test_new_weights_reach_vllm(grpo: Path) -> None:
    """The policy moves away from its start, and vLLM's probabilities stay those of the trainer."""
    last = [values for _, values in steps(grpo)][-6:]
    moved = max(values["kl"] for values in last)
    assert moved > 0.02
    assert max(abs(values["vllm_kl"]) for values in last) < moved / 2


def test_a_killed_run_goes_on(grpo: Path) -> None:
    metrics = json.loads((grpo / "train-policy" / "manifest.json").read_text())["metrics"]
    assert metrics["resumed_from"] >= KILLED_AT
    assert metrics["resumed_from"] % KILLED_AT == 0
    assert [step for step, _ in steps(grpo)] == list(range(1, STEPS + 1))
    found = rollouts(grpo)
    assert Counter(line["rollout_index"] for line in found) == dict.fromkeys(range(STEPS), 80)
    assert set(Counter(line["row"] for line in found).values()) == {8}
    for index in range(STEPS):  # a group shares its row, hence its principles
        shown = {line["row"]: tuple(line["principles"]) for line in found if line["rollout_index"] == index}
        assert all(tuple(line["principles"]) == shown[line["row"]] for line in found if line["rollout_index"] == index)


def test_interventions_follow_the_generated_batch(grpo: Path) -> None:
    for line in rollouts(grpo):
        assert (line["principles"][0] == "steps") is in_force(line["rollout_index"])


def test_the_reward_is_salmons_everywhere(grpo: Path) -> None:
    """500 rollouts of OpenRLHF's own rollout path score the same by `salmon score` and inside TRL."""
    from transformers import AutoTokenizer

    from salmon_core.data.parquet import RL_PROMPTS, read_table
    from salmon_core.kit.training import read_job
    from salmon_core.reward.reward import Reward
    from salmon_trl.reward_function import RewardFunction

    job = read_job(grpo / "train-policy" / "job.json")
    assert job.reward is not None
    rows = read_table(grpo / "train-policy" / "rl_prompts.parquet", RL_PROMPTS)
    by_row = {row["row"]: row for row in rows}
    found = rollouts(grpo)[:: len(rollouts(grpo)) // 500][:500]
    assert len(found) == 500
    tokenizer = AutoTokenizer.from_pretrained(job.model.path)
    reward = Reward.from_spec(job.reward)
    seen: list[Any] = []

    class Told:
        """What TRL's trainer tells the function, and what the function found."""

        def __init__(self, step: int):
            self.global_step = step

    function = RewardFunction(reward, rows, tokenizer, window=1)
    function.eos_ids = frozenset([tokenizer.eos_token_id])
    for index in sorted({line["rollout_index"] for line in found}):
        lines = [line for line in found if line["rollout_index"] == index]
        means: dict[str, float] = {}
        totals = function(
            completion_ids=[line["completion_ids"] for line in lines],
            position=[line["row"] for line in lines],
            trainer_state=Told(index),
            log_metric=means.__setitem__,
        )
        assert totals == pytest.approx([line["reward"] for line in lines], abs=1e-5)
        for name in reward.names:
            mean = sum(line["components"][name] for line in lines) / len(lines)
            assert means[f"reward/{name}/mean"] == pytest.approx(mean, abs=1e-5)
    for index in (0, INTERVENED_AT):  # without and with the intervention
        lines = [line for line in found if in_force(line["rollout_index"]) is in_force(index)]
        texts = tokenizer.batch_decode([line["completion_ids"] for line in lines], skip_special_tokens=True)
        file, scored = grpo / f"to-score-{index}.jsonl", grpo / f"scored-{index}.jsonl"
        with file.open("w") as output:
            for line, text in zip(lines, texts, strict=True):
                row = by_row[line["row"]]
                told = {name: row[name] for name in ("messages", "category", "principles")}
                told |= {name: line[name] for name in ("completion_ids", "n_tokens", "stopped")}
                output.write(json.dumps({"id": row["prompt_id"], **told, "completion": text}) + "\n")
        salmon("score", grpo, file, "--output", scored, "--rollout-index", str(index))
        for line, text in zip(lines, scored.read_text().splitlines(), strict=True):
            got = json.loads(text)
            assert got["total"] == pytest.approx(line["reward"], abs=1e-5)
            assert got["components"] == pytest.approx(line["components"], abs=1e-5)
            assert got["principles"] == line["principles"]
            seen.append(line["row"])
    assert len(seen) == 500


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


#: the others run by `make prove-openrlhf`: what differs is a flag of OpenRLHF's own
ALGORITHMS = ("reinforce++", "rloo", "reinforce++-baseline") if os.environ.get("SALMON_OPENRLHF_ALL") else ("rloo",)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_other_algorithms_run(world: Path, algorithm: str) -> None:
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


def test_a_killed_ppo_goes_on_with_its_critic(world: Path) -> None:
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


def test_a_killed_reward_server_ends_the_run_and_loses_nothing(world: Path) -> None:
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


def test_a_failing_bonus_ends_the_run_with_its_name(world: Path) -> None:
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
