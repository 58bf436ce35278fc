"""Real models, small enough to make on the spot: random weights, a byte-level BPE tokenizer trained here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from tiny_models import byte_bpe, tokenizer_of, widened
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from salmon_core.api import Ability, ModelSpec, OpenModel
from salmon_transformers.engine import TransformersEngine

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = [
    "The river runs to the sea and the salmon swims up the river.",
    "[[instruction]] Which answer is better? [[output a]] one [[output b]] two [[principle]] be brief [[verdict]] a b",
    "Numbers 0 1 2 3 4 5 6 7 8 9, words and more words; a question? An answer!",
] * 20


def make_tokenizer(*, bos: bool = False, chat: str | None = CHAT) -> PreTrainedTokenizerFast:
    """Byte-level BPE, 400 tokens; pad apart from EOS; `bos` makes it put `<s>` before texts."""
    specials = ["<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    backend = byte_bpe(CORPUS, vocab_size=400, specials=specials, bos="<s>" if bos else None)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "model_max_length": int(1e30)}
    return tokenizer_of(backend, chat=chat, **names)


def config_of(kind: str, tokenizer: PreTrainedTokenizerFast, **changes: Any) -> Any:
    """A tiny configuration of an architecture."""
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    body = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
    }
    if kind == "llama":  # grouped queries
        return LlamaConfig(**ids, **{**body, "num_key_value_heads": 2, **changes})
    if kind == "qwen2":  # biases, tied embeddings
        return Qwen2Config(**ids, **{**body, "num_key_value_heads": 2, "tie_word_embeddings": True, **changes})
    if kind == "mistral":
        return MistralConfig(**ids, **{**body, "num_key_value_heads": 2, "sliding_window": 32, **changes})
    if kind == "gemma2":  # soft-capped logits, alternating sliding windows
        small = {"num_key_value_heads": 2, "head_dim": 12, "sliding_window": 32, "final_logit_softcapping": 0.5}
        return Gemma2Config(**ids, **{**body, **small, **changes})
    if kind == "gpt2":  # learned absolute positions
        return GPT2Config(**ids, **{"n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 512, **changes})
    if kind == "bloom":  # ALiBi
        return BloomConfig(**ids, **{"hidden_size": 48, "n_layer": 2, "n_head": 4, **changes})
    raise ValueError(kind)


Make = Callable[..., str]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make(kind, reward=..., bos=..., chat=..., **config) -> a model folder, made once."""
    made: dict[str, str] = {}

    def build(
        kind: str = "llama", *, reward: bool = False, bos: bool = False, chat: str | None = CHAT, **changes: Any
    ) -> str:
        key = repr((kind, reward, bos, chat, sorted(changes.items())))
        if key not in made:
            folder = tmp_path_factory.mktemp(kind)
            tokenizer = make_tokenizer(bos=bos, chat=chat)
            if reward:
                changes = {"num_labels": 1, **changes}
            config = config_of(kind, tokenizer, **changes)
            auto = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
            torch.manual_seed(0)
            widened(auto.from_config(config)).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[key] = str(folder)
        return made[key]

    return build


@pytest.fixture
def engine() -> Iterator[Callable[..., Any]]:
    """engine(folder, ability, **options) -> a model on the CPU, opened by a method of the engine, closed at the end."""
    opened: list[OpenModel] = []

    def open_model(folder: str | Path, ability: Ability, **options: Any) -> Any:
        made = TransformersEngine(TransformersEngine.Options(**options))
        opened.append(getattr(made, ability)(ModelSpec(str(folder), device="cpu")))
        return opened[-1]

    yield open_model
    for model in opened:
        model.close()
