"""Adapters on a base in 4 bits: SFT, reward model, GRPO; PPO's own are in test_ppo_adapters.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
import trl_world as world

from salmon_core.api import Job
from salmon_trl.backend import TRLBackend

FAST = {"per_device_train_batch_size": 8, "total_batch_size": 8, "learning_rate": 3e-3, "save_steps": 2}
QLORA = {"lora": ppo.LORA, "quantization": "nf4", "gradient_checkpointing": True}
GRPO = {
    "per_device_train_batch_size": 16,
    "total_batch_size": 16,
    "generation_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 8,
    "learning_rate": 1e-2,
    "beta": 0.05,
}


def job_of(stage: str, folder: Path, policy: Path, **options: Any) -> Job:
    folder.parent.mkdir(parents=True, exist_ok=True)
    if stage == "train-policy":
        data = {"train": world.write(folder.parent / "rl.parquet", world.rl_rows(14))}
        spec = world.reward_spec(world.write_bonus(folder.parent / "bonus.py"), None, policy)
        return world.job(stage, folder, policy, data, reward=spec, options={**GRPO, **QLORA, **options})
    rows: list[dict[str, Any]] = world.preferences(48)
    if stage == "sft":
        rows = [{"prompt": "<s><|user|>red\n<|assistant|>", "completion": " blue green</s>"}] * 32
    data = {"train": world.write(folder.parent / "rows.parquet", rows)}
    return world.job(stage, folder, policy, data, options={**FAST, **QLORA, **options})


@pytest.mark.parametrize("stage", ["sft", "train-rm", "train-policy"])
def test_what_is_left_is_the_adapter_on_the_base_as_it_was(stage: str, policy: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from safetensors.torch import load_file

    job = job_of(stage, tmp_path / "stage", policy)
    folder = world.work(job)
    logged = [values for _, values in world.steps(folder)]
    assert all(values["grad_norm"] > 0 for values in logged[1:] if "grad_norm" in values)
    before, after = world.weights(policy), world.weights(folder / "model")
    checkpoints = sorted(
        (folder / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1])
    )
    adapter = load_file(checkpoints[-1] / "adapter_model.safetensors")
    name = "model.layers.0.mlp.up_proj"
    a, b = (adapter[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
    change = after[f"{name}.weight"] - before[f"{name}.weight"]
    torch.testing.assert_close(change, ppo.LORA["alpha"] / ppo.LORA["r"] * b @ a, atol=1e-6, rtol=1e-4)
    assert change.abs().max() > 1e-5
    assert torch.equal(after["model.norm.weight"], before["model.norm.weight"]), "what has no adapter is untouched"
    if stage == "train-rm":
        assert after["score.weight"].abs().max() > 0, "the head is trained, and not in 4 bits"
    # Lost and run again: from the checkpoint before, on a base rounded anew.
    import shutil

    shutil.rmtree(folder / "model")
    shutil.rmtree(checkpoints[-1])
    world.work(job)
    assert world.metrics(folder)["resumed_from"] > 0
    again = world.weights(folder / "model")
    assert all(torch.equal(after[key], again[key]) for key in after)


def test_a_reward_adapter_trained_in_four_bits_is_shared_in_ppo(policy: Path, tmp_path: Path) -> None:
    """As the paper runs it: everything is an adapter on one base in 4 bits (arXiv 2310.05910, 3.3)."""
    pytest.importorskip("bitsandbytes")
    reward = world.work(job_of("train-rm", tmp_path / "rm" / "stage", policy, merge=False)) / "model"
    assert (reward / "adapter_config.json").is_file()
    options = {"sharing": "adapters", "lora": ppo.LORA, "quantization": "nf4"}
    folder = ppo.work(ppo.ppo_job(tmp_path / "ppo" / "stage", policy, reward, options=options))
    assert all(values["grad_norm"] > 0 for step, values in world.steps(folder) if step > 1)


def test_without_an_adapter_nothing_could_be_trained(policy: Path, tmp_path: Path) -> None:
    from salmon_core.errors import ConfigError

    for stage in ("sft", "train-rm", "train-policy"):
        job = job_of(stage, tmp_path / stage / "stage", policy, lora=None)
        with pytest.raises(ConfigError, match="quantization needs lora"):
            TRLBackend().plan(job)


@pytest.mark.parametrize("stage", ["sft", "train-rm", "train-policy"])
def test_without_bitsandbytes(stage: str, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if it were not installed; for us alone, since transformers remembers what it found.
    monkeypatch.setattr("salmon_core.kit.quantization.find_spec", lambda name: None)
    folder = world.work(job_of(stage, tmp_path / "stage", policy), 1)
    error = json.loads((folder / "error.json").read_text())
    assert "quantization: nf4 needs bitsandbytes" in error["message"]
    assert "pip install bitsandbytes" in error["hint"]
