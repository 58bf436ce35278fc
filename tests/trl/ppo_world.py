"""Small PPO trainers, batches they generated, and jobs for them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import trl_world as world
from tiny_models import save_model
from trl_world import work as work

from salmon_core.api import Job, ModelSpec

#: options of a job with a window of two optimizer steps
OPTIONS: dict[str, Any] = {
    "per_device_train_batch_size": 8,
    "total_batch_size": 8,
    "generation_batch_size": 8,
    "num_iterations": 2,
    "max_completion_length": 8,
    "learning_rate": 3e-3,
    "warmup_steps": 0,
    "log_rollouts_every": 1,
}
#: the tokenizer's, and more, as chat models have them
EOS = frozenset({1, *range(100, 140)})
LORA = {"r": 4, "alpha": 8}


def make_policy(folder: Path, *, architecture: str = "llama", seed: int = 0) -> Path:
    """A random model that ends some of its completions early: it has many EOS tokens."""
    from transformers import AutoModelForCausalLM

    if architecture == "gpt2":
        _gpt2(folder, seed)
    else:
        world.make_policy(folder, seed=seed)
    model = AutoModelForCausalLM.from_pretrained(folder)
    if architecture == "llama":
        model.config.max_position_embeddings = 1024  # rotary: no weights; room for the reward model's texts
    model.generation_config.eos_token_id = sorted(EOS)
    model.save_pretrained(folder)
    return folder


def _gpt2(folder: Path, seed: int) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = world.make_tokenizer(pad=None)
    size = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128, "initializer_range": 0.06}
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1, **size)
    save_model(folder, config, GPT2LMHeadModel, tokenizer, seed=seed)


def make_scorer(folder: Path, policy: Path, *, seed: int = 1, labels: int = 1) -> Path:
    """A reward model with another body than the policy's, and a score head that says something."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(policy)
    tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
    model = AutoModelForSequenceClassification.from_pretrained(policy, num_labels=labels)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.pad_token_id = tokenizer.pad_token_id
    disturb(model, seed=seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_reward_adapter(base: Path, policy: Path, **options: Any) -> Path:
    """From the train-rm stage, as an adapter; it brings a pad token of its own."""
    data = {"train": world.write(base / "d.parquet", world.preferences(80))}
    options = {
        "per_device_train_batch_size": 8,
        "total_batch_size": 8,
        "learning_rate": 3e-3,
        "lora": LORA,
        "merge": False,
        **options,
    }
    return work(world.job("train-rm", base / "rm", policy, data, options=options)) / "model"


def disturb(module: torch.nn.Module, *, by: float = 0.03, seed: int = 0) -> None:
    """Moves every weight a little."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value += by * torch.randn(value.shape, generator=generator)


def ids_reward(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
    """Depends on all ids."""
    return [sum(ids) % 11 / 11 + 0.1 * len(ids) for ids in completion_ids]


def make_trainer(folder: Path, policy: Path | Any, *, kind: Any = None, rows: int = 16, **more: Any) -> Any:
    """A PPOTrainer as a user of TRL would make one; names of PPOConfig go there, others to the trainer."""
    from datasets import Dataset
    from transformers import AutoTokenizer

    from salmon_trl import PPOConfig, PPOTrainer

    known = {field.name for field in fields(PPOConfig)}
    settings: dict[str, Any] = {
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "disable_tqdm": True,
        "save_strategy": "no",
        "logging_steps": 1,
        "gradient_checkpointing": False,
        "per_device_train_batch_size": 8,
        "max_completion_length": 10,
        "learning_rate": 3e-3,
        "max_steps": 4,
        **{name: value for name, value in more.items() if name in known},
    }
    arguments = {name: value for name, value in more.items() if name not in known}
    reward = arguments.pop("reward_funcs", ids_reward)
    rng = random.Random(0)
    prompts = [f"<s><|user|>{world.words(rng, 1, 6)}\n<|assistant|>" for _ in range(rows)]
    tokenizer = arguments.pop("tokenizer", None) or AutoTokenizer.from_pretrained(
        policy if isinstance(policy, Path) else policy.config._name_or_path
    )
    return (kind or PPOTrainer)(
        str(policy) if isinstance(policy, Path) else policy,
        reward,
        PPOConfig(str(folder), **settings),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer,
        **arguments,
    )


def generated(trainer: Any) -> dict[str, torch.Tensor]:
    """A batch as the trainer generates and scores it."""
    trainer.model.train()
    inputs = next(iter(trainer.get_train_dataloader()))
    return trainer._generate_and_score_completions(inputs)  # type: ignore[no-any-return]


def sequences(batch: dict[str, torch.Tensor]) -> list[tuple[list[int], list[int]]]:
    """(prompt, completion) ids without any padding."""
    rows = []
    for i in range(len(batch["prompt_ids"])):
        prompt = batch["prompt_ids"][i][batch["prompt_mask"][i].bool()].tolist()
        rows.append((prompt, batch["completion_ids"][i][batch["completion_mask"][i].bool()].tolist()))
    return rows


def failure(job: Job) -> str:
    """The message of a job that cannot run."""
    error = json.loads((work(job, 1) / "error.json").read_text())
    return f"{error['where']}: {error['message']} ({error['hint']})"


def ppo_job(folder: Path, policy: Path, reward_model: Path | None = None, *, rows: int = 16, **more: Any) -> Job:
    """A train-policy job; its inputs lie beside the folder."""
    base = folder.parent
    base.mkdir(parents=True, exist_ok=True)
    data = {"train": world.write(base / f"rl-{rows}.parquet", world.rl_rows(rows))}
    model = None if reward_model is None else ModelSpec(str(reward_model), dtype="float32", device="cpu")
    spec = world.reward_spec(world.write_bonus(base / "bonus.py"), model, policy)
    options = {**OPTIONS, **more.pop("options", {})}
    return world.job("train-policy", folder, policy, data, algorithm="ppo", reward=spec, options=options, **more)
