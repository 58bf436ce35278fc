"""A plain TRL run, not ours, whose reward is a server."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from core_world import environment
from serve_world import Server
from trl_world import rl_rows

from salmon_core.kit.reward_client import RewardClient, RewardServerError
from salmon_trl.served_reward import ServedReward


@pytest.mark.parametrize("conversational", [True, False], ids=["messages", "texts"])
def test_two_steps_of_grpo(conversational: bool, tiny_server: Server, tiny_job: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    policy = tiny_job.parent.parent / "policy"
    tokenizer = AutoTokenizer.from_pretrained(policy)
    client = RewardClient.from_ready_file(tiny_server.ready)
    reward = ServedReward(client, eos_token_ids=tokenizer.eos_token_id, steps_per_generation=1)
    calls: list[tuple[dict[str, Any], list[float]]] = []

    class Watched(ServedReward):
        def __call__(self, **values: Any) -> list[float]:
            found = super().__call__(**values)
            calls.append((values, found))
            return found

    reward.__class__ = Watched
    prompts = [row["messages"] if conversational else row["messages"][0]["content"] for row in rl_rows(8)]
    dataset = Dataset.from_dict({"prompt": prompts, "principles": [["rule 0"]] * len(prompts)})
    before = tiny_server.metric("salmon_rollouts_scored_total")
    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(policy),
        reward_funcs=reward,
        args=GRPOConfig(
            output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=4,
            steps_per_generation=1, max_completion_length=12,
            logging_steps=1, report_to=[], use_cpu=True, bf16=False, save_strategy="no",
            gradient_checkpointing=False, temperature=1.5,
        ),
        train_dataset=dataset,
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    assert tiny_server.metric("salmon_rollouts_scored_total") == before + 8
    assert len(calls) == 2
    for step, (values, totals) in enumerate(calls):
        items = []
        for prompt, ids in zip(values["prompts"], values["completion_ids"], strict=True):
            text = prompt if isinstance(prompt, str) else prompt[0]["content"]
            stopped = ids[-1] == tokenizer.eos_token_id
            items.append(
                {
                    "prompt": text,
                    "completion": tokenizer.decode(ids, skip_special_tokens=True),
                    "completion_ids": ids,
                    "n_tokens": len(ids) - stopped,
                    "stopped": stopped,
                    "principles": ["rule 0"],
                    "rollout_index": step,
                }
            )
        expected = client.score(items)
        assert totals == pytest.approx([one["total"] for one in expected], abs=1e-5)
        assert expected[0]["principles"] == ["rule 0"]
    logged = [log for log in trainer.state.log_history if "rewards/salmon/mean" in log]
    assert len(logged) == 2
    for log, (_, totals) in zip(logged, calls, strict=True):
        assert log["rewards/salmon/mean"] == pytest.approx(sum(totals) / len(totals), abs=1e-4)
        assert log["reward/rm/mean"] + log["reward/words/mean"] == pytest.approx(log["rewards/salmon/mean"], abs=1e-4)


def test_it_raises_rather_than_leave_a_reward_out(tiny_server: Server) -> None:
    """A None would be left out of TRL's averages without a word."""
    reward = ServedReward(RewardClient(tiny_server.url, "wrong" * 8, patience=0), eos_token_ids=[1, 2])
    with pytest.raises(RewardServerError, match="HTTP 401"):
        reward(prompts=["a"], completions=["b"], completion_ids=[[5]])


def test_the_client_needs_only_the_standard_library(tmp_path: Path) -> None:
    code = (
        "import sys, salmon_core.kit.reward_client; names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(names - sys.stdlib_module_names - {'salmon_core', '__main__', 'sitecustomize'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment(), check=True
    )
    assert [name for name in ast.literal_eval(done.stdout) if not name.startswith("_")] == []
