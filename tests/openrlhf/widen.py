"""The embedded policy with attention heads of 32 instead of 24 dimensions: the same function.

vLLM's CPU attention knows no heads of 24. Eight dimensions of zeros are added to each head; the rotary base is raised
so that the first twelve frequencies stay what they were, and queries are scaled for the new square root of the size.

    python tests/openrlhf/widen.py SOURCE TARGET
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

OLD, NEW = 24, 32


def widen(source: Path, target: Path) -> Path:
    """Writes the widened model folder."""
    import torch
    from safetensors.torch import load_file, save_file

    config = json.loads((source / "config.json").read_text())
    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    half, wide = OLD // 2, NEW // 2
    places = torch.tensor([*range(half), *range(wide, wide + half)])  # rotary pairs i with i + size / 2
    weights = load_file(source / "model.safetensors")
    for name, weight in weights.items():
        kind = name.split(".")[-2]
        if kind in ("q_proj", "k_proj", "v_proj"):
            count = heads if kind == "q_proj" else keys
            wider = torch.zeros(count, NEW, weight.shape[1])
            wider[:, places] = weight.float().reshape(count, OLD, -1)
            scale = math.sqrt(NEW / OLD) if kind == "q_proj" else 1.0
            weights[name] = (wider * scale).reshape(count * NEW, -1).contiguous()
        elif kind == "o_proj":
            wider = torch.zeros(weight.shape[0], heads, NEW)
            wider[:, :, places] = weight.float().reshape(-1, heads, OLD)
            weights[name] = wider.reshape(-1, heads * NEW).contiguous()
    config["head_dim"] = NEW
    config["rope_parameters"]["rope_theta"] **= NEW / OLD
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.name not in ("config.json", "model.safetensors", "README.md"):
            shutil.copy(file, target)
    (target / "config.json").write_text(json.dumps(config, indent=2))
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


if __name__ == "__main__":
    widen(Path(sys.argv[1]), Path(sys.argv[2]))
