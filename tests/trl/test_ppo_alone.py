"""PPOTrainer and PPOConfig by themselves, for users of TRL."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
import trl_world as world

from salmon_trl import PPOConfig

PAGE = world.ROOT / "docs" / "backends" / "trl.md"


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, salmon_trl\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'peft', 'accelerate', 'numpy', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert 'PPOTrainer' in salmon_trl.__all__\n"
        "try:\n    salmon_trl.DPOTrainer\n"
        "except AttributeError as error:\n    assert 'DPOTrainer' in str(error)\n"
        "else:\n    raise SystemExit('no such name')"
    )
    subprocess.run([sys.executable, "-c", code], env=world.environment(), check=True)


@pytest.mark.slow
def test_the_pages_example(policy: Path, tmp_path: Path) -> None:
    """As it stands on the page, in a process of its own."""
    from transformers import AutoModelForCausalLM

    section = PAGE.read_text().split("## PPO for TRL users")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[:1]
    (tmp_path / "model").symlink_to(policy)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=world.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    AutoModelForCausalLM.from_pretrained(tmp_path / "brief" / "model")
    before, after = world.weights(policy), world.weights(tmp_path / "brief" / "model")
    assert any(not torch.equal(before[name], after[name]) for name in after)


def config(tmp_path: Path, **more: Any) -> PPOConfig:
    return PPOConfig(str(tmp_path), use_cpu=True, bf16=False, **more)


def test_every_bad_setting_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="beta must be") as caught:
        config(
            tmp_path,
            beta=0.1,
            loss_type="grpo",
            gamma=1.5,
            lam=-0.1,
            kl_coef=-1.0,
            vf_coef=-1.0,
            cliprange_value=-0.2,
            kl_estimator="k2",
            mask_truncated_completions=True,
            importance_sampling_level="sequence",
            multi_objective_aggregation="normalize_then_sum",
            sync_ref_model=True,
            off_policy_mask_threshold=0.5,
            save_strategy="steps",
            save_steps=3,
        )
    for part in (
        "set kl_coef",
        "loss_type must be dapo or bnpo, not grpo",
        "gamma must be between 0.0 and 1.0, not 1.5",
        "lam must be between",
        "kl_coef must not be negative",
        "vf_coef must not be negative",
        "cliprange_value must not be negative",
        "kl_estimator must be k1 or k3, not k2",
        "mask_truncated_completions must be False",
        "importance_sampling_level must be token",
        "multi_objective_aggregation",
        "sync_ref_model",
        "off_policy_mask_threshold",
        "save_steps (3) must be a multiple of 2",
    ):
        assert part in str(caught.value), part


def test_windows(tmp_path: Path) -> None:
    sizes = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "generation_batch_size": 16}
    args = config(tmp_path, **sizes, num_iterations=3, save_steps=12)
    assert args.window == 12
    assert (args.num_generations, args.num_generations_eval) == (1, 1)
    with pytest.raises(ValueError, match=r"save_steps \(8\) must be a multiple of 12 = steps_per_generation \(8\)"):
        config(tmp_path, **sizes, num_iterations=3, save_steps=8)
    with pytest.raises(ValueError, match="a multiple of gradient_accumulation_steps"):
        config(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4, steps_per_generation=3)
    assert config(tmp_path, save_strategy="no", num_iterations=4).window == 4
    assert config(tmp_path, num_generations=2, per_device_train_batch_size=4).num_generations == 2


def test_groups_of_completions(policy: Path, tmp_path: Path) -> None:
    """Several completions of a prompt are allowed; nothing is compared between them."""
    trainer = ppo.make_trainer(tmp_path, policy, num_generations=4, num_iterations=1, max_steps=2)
    batch = ppo.generated(trainer)
    rows = ppo.sequences(batch)
    assert len({tuple(prompt) for prompt, _ in rows}) == 2
    trainer.train()


def test_evaluation(policy: Path, tmp_path: Path) -> None:
    """On rows of its own, without a group, with losses and values."""
    from datasets import Dataset

    trainer = ppo.make_trainer(
        tmp_path,
        policy,
        eval_dataset=Dataset.from_dict({"prompt": ["<s>red", "<s>blue bird", "<s>tree"]}),
        per_device_eval_batch_size=2,
        eval_strategy="steps",
        eval_steps=2,
    )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "eval_reward" in line]
    assert len(lines) == 2
    assert {"eval_value/loss", "eval_value/explained_variance", "eval_kl", "eval_loss"} <= set(lines[0])


def test_no_reference_model_without_a_penalty(policy: Path, tmp_path: Path) -> None:
    trainer = ppo.make_trainer(tmp_path, policy, kl_coef=0.0)
    assert trainer.ref_model is None
    assert "kl" not in trainer._metrics["train"]
    assert "ref_per_token_logps" not in ppo.generated(trainer)


def test_conversations(policy: Path, tmp_path: Path) -> None:
    from datasets import Dataset

    prompts = [[{"role": "user", "content": text}] for text in ("red", "blue bird", "tree", "warm") * 4]
    trainer = ppo.make_trainer(tmp_path, policy, max_steps=2)
    trainer.train_dataset = Dataset.from_dict({"prompt": prompts})
    trainer.train()
    assert trainer.state.log_history[0]["value/loss"] > 0


def test_it_learns(policy: Path, tmp_path: Path) -> None:
    """A reward for one token: the policy comes to write it, the critic to foresee it."""

    def target(completion_ids: list[list[int]], **_: Any) -> list[float]:
        return [sum(token == 50 for token in ids) / 8 for ids in completion_ids]

    trainer = ppo.make_trainer(
        tmp_path, policy, reward_funcs=target, rows=32, max_steps=40, per_device_train_batch_size=32, logging_steps=2,
        max_completion_length=8, learning_rate=1e-2, lr_scheduler_type="constant", kl_coef=0.001, vf_coef=0.5,
    )  # fmt: skip
    trainer.train()
    rewards = [line["reward"] for line in trainer.state.log_history if "reward" in line]
    explained = [line["value/explained_variance"] for line in trainer.state.log_history if "reward" in line]
    print(rewards, explained)
    assert sum(rewards[:3]) / 3 < 0.05
    assert sum(rewards[-3:]) / 3 > 0.2
    assert max(explained[-8:]) > 0.1


def test_the_reference_is_the_policy_as_it_was_given(policy: Path, tmp_path: Path) -> None:
    """Also one that was changed in memory; TRL would load the reference by its name."""
    from transformers import AutoModelForCausalLM

    changed = AutoModelForCausalLM.from_pretrained(policy)
    ppo.disturb(changed)
    trainer = ppo.make_trainer(tmp_path, changed, kl_coef=0.1, max_steps=2)
    trainer.train()
    assert trainer.state.log_history[0]["kl"] == pytest.approx(0.0, abs=1e-6)
