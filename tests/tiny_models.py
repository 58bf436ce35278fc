"""Tokenizers and models small enough to make on the spot: the one place where tests build them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def byte_bpe(
    corpus: Iterable[str],
    *,
    vocab_size: int,
    specials: Sequence[str],
    bos: str | None = None,
    split: str | None = None,
    form: str | None = None,
) -> Any:
    """A byte-level BPE backend, trained here; its special tokens have the first ids.

    Args:
        corpus: to train on; the vocabulary has every byte whatever it holds.
        vocab_size: at most.
        specials: special tokens, in order.
        bos: one of them that is put before every text.
        split: a regular expression that takes the place of GPT-2's.
        form: name of a Unicode normalizer, such as `NFKC`.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    backend = Tokenizer(models.BPE())
    if split is None:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        pieces = pre_tokenizers.Split(Regex(split), "isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([pieces, byte_level])
    backend.decoder = decoders.ByteLevel()
    if form is not None:
        backend.normalizer = getattr(normalizers, form)()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(specials), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(corpus, trainer)
    if bos is not None:
        named = [(bos, backend.token_to_id(bos))]
        backend.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=named)
    return backend


def tokenizer_of(backend: Any, *, chat: str | None = None, **names: Any) -> Any:
    """A Hugging Face tokenizer around a backend.

    Args:
        chat: its chat template.
        names: of special tokens: `eos_token`, `pad_token`, ...
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **names)
    tokenizer.chat_template = chat
    return tokenizer


def llama_config(tokenizer: Any, **changes: Any) -> Any:
    """Two layers of 32, for a tokenizer."""
    from transformers import LlamaConfig

    small: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return LlamaConfig(**{**small, **changes})


def widened(model: Any, spread: float = 0.15) -> Any:
    """Random weights large enough that attention matters; the usual initialisation is close to a bag of words."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return model


def save_model(folder: Path | str, config: Any, kind: Any, tokenizer: Any, *, seed: int = 0) -> Path:
    """A folder with a model of random weights and its tokenizer.

    Args:
        kind: a model class of transformers, constructed from the configuration.
        seed: of the weights.
    """
    import torch

    torch.manual_seed(seed)
    kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)
