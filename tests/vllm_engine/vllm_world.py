"""Interpreters with vLLM, the real one and a stand-in, and models small enough to make on the spot."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of, widened

from salmon_core.api import ModelSpec, PrefixRequest
from salmon_core.plugins.options import construct, validate_options
from salmon_core.records import Prompt
from salmon_core.testing.elsewhere import registry_for
from salmon_vllm import plugin
from salmon_vllm.engine import VLLMEngine

HERE = Path(__file__).resolve().parent
#: the interpreter with the real vLLM; `make test-vllm` says where it is
PYTHON = os.environ.get("SALMON_VLLM_PYTHON", "")
#: what makes the real one start as soon as can be
QUICK: dict[str, Any] = {"python": PYTHON, "enforce_eager": True, "kv_cache_gib": 0.25}

#: the longest sequence that the models take
LENGTH = 2048
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = [
    "The river runs to the sea and the salmon swims up the river.",
    "Which answer is better? one two, be brief [[verdict]] a b",
    "Numbers 0 1 2 3 4 5 6 7 8 9, words and more words; a question? An answer!",
] * 20


def engine(**options: Any) -> VLLMEngine:
    """As a configuration makes it."""
    owned = registry_for(plugin).find("engines", "vllm")
    built = construct(owned, validate_options(owned, options, "engine", Path()).options)
    assert isinstance(built, VLLMEngine)
    return built


def standin(folder: Path) -> str:
    """An interpreter that finds the stand-in, and salmon nowhere."""
    script = folder / "python-with-standin"
    if not script.exists():
        script.write_text(f'#!/bin/sh\nPYTHONPATH="{HERE / "standin"}" exec "{sys.executable}" "$@"\n')
        script.chmod(0o755)
    return str(script)


def tokenizer() -> Any:
    """Byte-level BPE, 400 tokens; pad apart from EOS."""
    specials = ["<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "model_max_length": int(1e30)}
    return tokenizer_of(byte_bpe(CORPUS, vocab_size=400, specials=specials), chat=CHAT, **names)


def make_model(folder: Path, kind: str = "llama", *, reward: bool = False) -> Path:
    """Two layers, with heads as small as vLLM's kernels take; weights large enough that attention matters."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Qwen2Config

    made = tokenizer()
    small: dict[str, Any] = {
        "hidden_size": 128,
        "intermediate_size": 128,
        "num_key_value_heads": 2,
        "max_position_embeddings": LENGTH,
    }
    if reward:
        small["num_labels"] = 1
    config = llama_config(made, **small)
    if kind == "qwen2":  # biases, tied embeddings
        values = {name: value for name, value in config.to_dict().items() if name in _SHARED}
        config = Qwen2Config(**values, **small, tie_word_embeddings=True)
    auto: Any = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
    return save_model(folder, config, lambda config: widened(auto.from_config(config), 0.1), made)


_SHARED = (*("vocab_size", "num_hidden_layers", "num_attention_heads", "bos_token_id", "eos_token_id", "pad_token_id"),)


def model(path: Path | str, **values: Any) -> ModelSpec:
    """In float32, on the CPU."""
    return ModelSpec(str(path), **{"dtype": "float32", "device": "cpu", **values})


def prompts(count: int = 5) -> list[tuple[Prompt, str]]:
    """With their rendered texts, of different lengths."""
    texts = [f"Question {n}: where does the river run{' and run' * n}?" for n in range(count)]
    return [(Prompt.from_text(t, id=f"p{n}"), f"<|user|>{t}<|end|><|assistant|>") for n, t in enumerate(texts)]


def requests(count: int = 4, tail: str = "") -> list[PrefixRequest]:
    """Texts that share their beginnings, with several endings each."""
    suffixes = tuple(f"\nIs it {what}?\n{tail}" for what in ("brief", "kind, and does it say so", "true"))
    return [PrefixRequest(text + " [[verdict]]" * 9, suffixes) for _, text in prompts(count)]
