"""Run by torchrun: trains on two processes, and says how far their models are apart. `ppo_ranks.py FOLDER POLICY`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

import ppo_world as ppo
import torch
from peft import LoraConfig

from salmon_trl import SharedCritic
from salmon_trl.worker import leave_group


def apart(trainer: Any) -> dict[str, float]:
    """The largest difference of a weight between the processes; and how far the critic moved."""
    found = {}
    for name, module in (("policy", trainer.model.parameters()), ("critic", trainer.critic.trained().values())):
        flat = torch.cat([value.detach().flatten() for value in module]).unsqueeze(0)
        every = trainer.accelerator.gather(flat)
        found[name] = (every[0] - every[1]).abs().max().item()
        found[f"{name} sum"] = every[0].abs().sum().item()
    return found


def main(folder: Path, policy: Path) -> None:
    lora = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
    kinds: dict[str, dict[str, Any]] = {
        "separate": {},
        "critic adapter": {"critic_peft_config": LoraConfig(**lora)},
        "adapters": {"critic": SharedCritic(None), "peft_config": LoraConfig(**lora, task_type="CAUSAL_LM")},
        "adapters, checkpointing": {
            "critic": SharedCritic(None),
            "peft_config": LoraConfig(**lora, task_type="CAUSAL_LM"),
            "gradient_checkpointing": True,
        },
    }
    settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "num_iterations": 2}
    result = {}
    for name, arguments in kinds.items():
        trainer = ppo.make_trainer(folder / name.replace(", ", "-"), policy, **settings, **arguments)
        before = apart(trainer)
        trainer.train()
        after = apart(trainer)
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        assert trainer.accelerator.num_processes == 2
        result[name] = {"before": before, "after": after, "losses": losses}
    if trainer.accelerator.is_main_process:
        (folder / "result.json").write_text(json.dumps(result))
    del trainer
    leave_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
