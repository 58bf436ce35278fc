"""What a pretraining goes on from after it was ended: weights and optimizer state in one safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


class Checkpoint:
    """One file, replaced whole, so that a kill at any moment leaves a readable one.

    Args:
        path: the file; its folder is made if it is not there.
        every: steps between two saves.
        fits: what made the weights, in words; a file of another making is not gone on from.
    """

    def __init__(self, path: Path, fits: str, every: int = 200) -> None:
        self.path, self.every, self._fits = path, every, fits

    def save(self, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, step: int) -> None:
        """After ``step`` steps."""
        from safetensors.torch import save_file

        tensors = {}
        for name, parameter in model.named_parameters():
            tensors[f"weight/{name}"] = parameter.detach().clone()
            for key, value in optimizer.state[parameter].items():
                tensors[f"{key}/{name}"] = value.detach().clone()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{self.path.name}.new")
        save_file(tensors, aside, metadata={"step": str(step), "fits": self._fits})
        aside.replace(self.path)

    def load(self, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> int:
        """Puts weights and state back; how many steps had been made, 0 if there is nothing to go on from."""
        from safetensors import safe_open

        if not self.path.exists():
            return 0
        opener: Any = safe_open
        with opener(self.path, framework="pt") as file:
            metadata = file.metadata()
            if metadata["fits"] != self._fits:
                return 0
            keys = sorted({key.split("/", 1)[0] for key in file.keys()} - {"weight"})  # noqa: SIM118
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(file.get_tensor(f"weight/{name}"))
                    optimizer.state[parameter] = {key: file.get_tensor(f"{key}/{name}") for key in keys}
        return int(metadata["step"])

    def drop(self) -> None:
        """Nothing is left to go on from."""
        self.path.unlink(missing_ok=True)
