"""RL by the real OpenRLHF with vLLM and DeepSpeed, rewarded by salmon's server, through `salmon run`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from openrlhf_world import salmon, write_config
from rl_world import configure, killed_once, rollouts, steps, world  # noqa: F401  (a fixture)

pytestmark = [pytest.mark.openrlhf, pytest.mark.slow]
STEPS, KILLED_AT, INTERVENED_AT = 24, 8, 4


def in_force(index: int) -> bool:
    """Whether the intervention is shown in a generated batch."""
    return INTERVENED_AT <= index < INTERVENED_AT + 2


@pytest.fixture(scope="session")
def grpo(world: Path) -> Path:  # noqa: F811
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
