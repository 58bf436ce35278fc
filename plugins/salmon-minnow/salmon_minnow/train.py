"""Remakes the shipped policy, or measures one: ``python -m salmon_minnow.train``; with ``--base`` the shipped base.

It needs ``pip install 'salmon-minnow[train]'`` and, on one thread of a laptop, about twenty minutes, for the base five.
With ``--wide 0.5m``, ``1m`` or ``3m`` it is a policy of the wide world, grown out of the shipped one (five to fifteen
minutes); that goes on where it was ended.
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
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from salmon_minnow.base import BaseRows, base_settings
from salmon_minnow.card import base_card, model_card
from salmon_minnow.measure import Gauge
from salmon_minnow.plugin import BASE as SHIPPED_BASE
from salmon_minnow.plugin import MODEL as SHIPPED
from salmon_minnow.pretrain import Settings, pretrain
from salmon_minnow.shape import fresh_model, save
from salmon_minnow.tokenizer import build as build_tokenizer
from salmon_minnow.wide import train as wide
from salmon_minnow.wide.card import wide_card
from salmon_minnow.wide.pretrain import SIZES


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m salmon_minnow.train", description=__doc__)
    parser.add_argument("--base", action="store_true", help="train the shipped policy on until it follows preambles")
    parser.add_argument("--wide", choices=SIZES, metavar="SIZE", help=f"a wide policy: {', '.join(SIZES)}")
    parser.add_argument("--out", type=Path, help="folder to write (default: the shipped one)")
    parser.add_argument("--steps", type=int, help="optimizer steps (default: as shipped)")
    parser.add_argument("--seed", type=int, default=Settings.seed, help="of weights and texts (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; more are slower (default: %(default)s)")
    parser.add_argument("--evaluate", action="store_true", help="train nothing, only measure and rewrite the card")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    if chosen.wide:
        _wide(chosen.wide, chosen.out or SHIPPED.with_name(f"wide-{chosen.wide}"), None if chosen.evaluate else chosen)
        return
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


def _wide(size: str, out: Path, chosen: argparse.Namespace | None) -> None:
    """Train a wide policy, if anything is chosen, and measure it."""
    if chosen:
        wide.train(size, out, steps=chosen.steps, seed=chosen.seed)
    measured = wide.measure(out)
    (out / "README.md").write_text(wide_card(size, measured), encoding="utf-8")
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
