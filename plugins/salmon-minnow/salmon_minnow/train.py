"""Remakes the shipped policy, or measures one: ``python -m salmon_minnow.train``; with ``--base`` the shipped base.

It needs ``pip install 'salmon-minnow[train]'`` and, on one thread of a laptop, about twenty minutes, for the base five.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from salmon_minnow.base import BaseRows, base_settings
from salmon_minnow.card import base_card, model_card
from salmon_minnow.measure import Gauge
from salmon_minnow.pretrain import Settings, pretrain
from salmon_minnow.tokenizer import build as build_tokenizer

SHIPPED = Path(__file__).parent / "data" / "model"
SHIPPED_BASE = Path(__file__).parent / "data" / "base"


def fresh_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """An untrained policy. Smaller initial weights than these 0.06 do not learn to judge."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=1024,
            initializer_range=0.06,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
    )


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A plain Hugging Face folder."""
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=1.0,
        top_k=0,
        max_new_tokens=64,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m salmon_minnow.train", description=__doc__)
    parser.add_argument("--base", action="store_true", help="train the shipped policy on until it follows preambles")
    parser.add_argument("--out", type=Path, help="folder to write (default: the shipped one)")
    parser.add_argument("--steps", type=int, help="optimizer steps (default: as shipped)")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="of weights and texts (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; more are slower (default: %(default)s)")
    parser.add_argument("--evaluate", action="store_true", help="train nothing, only measure and rewrite the card")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    out = chosen.out or (SHIPPED_BASE if chosen.base else SHIPPED)
    if not chosen.evaluate:
        _train(out, base=chosen.base, steps=chosen.steps, seed=chosen.seed)
    measured = measure(out)
    if chosen.base:
        shown = Gauge(*_opened(out)).shown()
        card = base_card(measured, shown)
        measured |= {"behind a preamble": shown}
    else:
        card = model_card(measured)
    (out / "README.md").write_text(card, encoding="utf-8")
    print(json.dumps(measured, indent=1))


def _train(out: Path, *, base: bool, steps: int | None, seed: int) -> None:
    settings = base_settings(seed=seed) if base else Settings(seed=seed)
    settings.steps = steps or settings.steps
    tokenizer, maker = build_tokenizer(), None
    if base:
        model, _ = _opened(SHIPPED)
        maker = BaseRows(tokenizer, settings, random.Random(seed))
    else:
        model = fresh_model(tokenizer, seed)
    started = time.monotonic()

    def report(step: int, values: dict[str, float]) -> None:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
        print(f"step {step}/{settings.steps}  {time.monotonic() - started:.0f} s  {losses}", flush=True)

    pretrain(model, tokenizer, settings, report, maker=maker)
    save(model, tokenizer, out)


def _opened(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    return LlamaForCausalLM.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)


def measure(folder: Path) -> dict[str, Any]:
    """The numbers of the model card."""
    return Gauge(*_opened(folder)).card()


if __name__ == "__main__":
    main()
