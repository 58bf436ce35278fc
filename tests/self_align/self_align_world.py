"""A tokenizer, principles and exemplars for the tests here, and the example's run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tiny_models import byte_bpe, tokenizer_of

from salmon_core import Principle
from salmon_core.api.templates import Preamble, Template
from salmon_core.kit.hf import HFCodec
from salmon_core.plugins.registry import Registry
from salmon_core.principles.worked import Worked
from salmon_core.reward.preamble import PreambleRenderer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "minnow-self-align.yaml"
CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
PRINCIPLES = (
    Principle("use", "The answer does what was asked for.", title="Use"),
    Principle("no-harm", "Nobody is helped to hurt others.", title="No harm"),
)
EXEMPLARS = (Worked("How tall is it?", "Two metres.", "Use: a number.", ("use",)),)


def template() -> Template:
    """The bundled one."""
    found: Template = Registry.discover().find("templates", "standard").load()
    return found


def codec() -> HFCodec:
    """A byte-level BPE tokenizer trained on the preamble's own words, so that merges cross its markers."""
    own = Preamble()
    corpus = [own.worked, own.principle, own.invented, own.task, "The answer does what was asked for.\n\n"]
    specials = ["<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>"]
    backend = byte_bpe(corpus * 20, vocab_size=600, specials=specials, bos=None)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "model_max_length": int(1e30)}
    return HFCodec(tokenizer_of(backend, chat=CHAT, extra_special_tokens=specials[3:], **names), name="tiny")


def renderer(*, thoughts: bool = True) -> PreambleRenderer:
    """By the bundled template."""
    return PreambleRenderer(template(), codec(), thoughts=thoughts)


def command(folder: Path, *more: str) -> list[str]:
    """`salmon run` of the example, with its runs in a folder."""
    argv = [sys.executable, "-m", "salmon_core", "run", str(EXAMPLE), "--quick", "--set", f"run.folder={folder}"]
    return [*argv, *more]


def environment() -> dict[str, str]:
    """Of that process."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(command(folder, *more), env=environment(), capture_output=True, text=True, timeout=600)
