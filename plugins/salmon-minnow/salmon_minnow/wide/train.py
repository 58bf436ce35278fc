"""Makes the wide policies: the part of `python -m salmon_minnow.train` behind `--wide`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from salmon_minnow.plugin import MODEL
from salmon_minnow.pretrain import pretrain
from salmon_minnow.resume import Checkpoint
from salmon_minnow.shape import fresh_model, save
from salmon_minnow.wide.grow import grow
from salmon_minnow.wide.measure import WideGauge
from salmon_minnow.wide.pretrain import WideRows, size_of
from salmon_minnow.wide.tokenizer import build


def train(size: str, out: Path, *, steps: int | None = None, seed: int = 0) -> None:
    """Grow a policy out of minnow, train it, write its folder; ended, it goes on to the same result."""
    shape = size_of(size)
    settings = shape.settings
    settings.seed, settings.steps = seed, steps or settings.steps
    tokenizer = build()
    model = fresh_model(
        tokenizer, seed, hidden=shape.hidden, feed_forward=shape.feed_forward, layers=shape.layers, heads=shape.heads
    )
    minnow = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    grow(minnow, PreTrainedTokenizerFast.from_pretrained(MODEL).get_vocab(), model, tokenizer.get_vocab())
    started = time.monotonic()

    def report(step: int, values: dict[str, float]) -> None:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        print(f"step {step}/{settings.steps}  {time.monotonic() - started:.0f} s  {losses}", flush=True)

    checkpoint = Checkpoint(out.with_name(f".{out.name}-pretraining.safetensors"), json.dumps(asdict(shape)))
    pretrain(model, tokenizer, settings, report, maker=WideRows(tokenizer, settings), checkpoint=checkpoint)
    save(model, tokenizer, out)
    halve(out / "model.safetensors")
    checkpoint.drop()


def halve(file: Path) -> None:
    """Store weights in 16 bits. The configuration still says float32, so that they are loaded, and used, in 32."""
    opener: Any = safe_open
    with opener(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name).to(torch.float16) for name in opened.keys()}  # noqa: SIM118
    aside = file.with_name(f".{file.name}.new")
    save_file(tensors, aside, metadata={"format": "pt"})
    aside.replace(file)
    file.chmod(0o644)


def measure(folder: Path, answers: int = 400) -> dict[str, Any]:
    """The numbers of a wide policy's model card, from so many prompts on each side of the split."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    found = {"parameters": sum(parameter.numel() for parameter in model.parameters()), "answers": answers}
    return found | WideGauge(model, tokenizer).card(answers)
