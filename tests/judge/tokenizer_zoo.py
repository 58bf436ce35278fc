"""Tokenizers that split text the way of GPT-2, of Llama 3 and Qwen, and of SentencePiece, trained on the spot."""

from __future__ import annotations

import json

from tiny_models import byte_bpe, tokenizer_of
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
#: with much of what invites tokens across boundaries: `(a`, ` a`, `]]` before a line break, blank lines
_CORPUS = [
    "[[instruction]]\nWhich is better?\n[[response a]]\nOne.\n\n[[response b]]\nTwo. \n[[judged by]]\n",
    "[[principle]] The response is kind. [[end of principle]]\nWhich response is better, a or b?\n[[verdict]]\na",
    "(a) and (b), a and b; a[[b]]a\n\n\nb]]a ]]b\n]]\n]]\n[[\n[[",
] * 40


_NAMES = {"eos_token": "</s>", "pad_token": "<pad>"}


def _byte_level(split: str | None) -> PreTrainedTokenizerFast:
    return tokenizer_of(byte_bpe(_CORPUS, vocab_size=600, specials=["</s>", "<pad>"], split=split), **_NAMES)


def _sentencepiece() -> PreTrainedTokenizerFast:
    """BPE without pre-tokenization over text with its spaces made visible; line breaks are byte tokens."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    lines = [line for text in _CORPUS for line in text.split("\n")]
    learner.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    names = ["<unk>", "</s>", "<pad>", *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    model = models.BPE(
        vocab={name: number for number, name in enumerate(names)},
        merges=[tuple(merge) for merge in learned["merges"]],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    backend = Tokenizer(model)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["</s>", "<pad>"])
    return tokenizer_of(backend, **_NAMES)


def zoo() -> dict[str, PreTrainedTokenizerFast]:
    return {"gpt2": _byte_level(None), "llama3": _byte_level(_LLAMA3), "sentencepiece": _sentencepiece()}
