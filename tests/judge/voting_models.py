"""Tiny real models that end an answer in a verdict, or do not: what they write next depends on the last byte alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from tiny_models import byte_bpe, llama_config, tokenizer_of

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TURNS = (
    "{% for m in messages %}{{ '<turn:' + m['role'] + '>\\n' + m['content'] + '<end>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn:assistant>\\n' }}{% endif %}"
)
SPECIALS = {CHATML: ["<|im_start|>", "<|im_end|>"], TURNS: ["<turn:user>", "<turn:assistant>", "<end>"]}


def tokenizer(chat: str | None) -> Any:
    """A token is a byte; with the special tokens of a chat template."""
    specials = [*SPECIALS.get(chat or "", []), "</s>", "<pad>"]
    backend = byte_bpe(["a"], vocab_size=256 + len(specials), specials=specials)
    return tokenizer_of(backend, chat=chat, eos_token="</s>", pad_token="<pad>")


def save(folder: Path, chat: str | None, *, seed: int = 0, says: dict[str, str] | None = None) -> Path:
    """A Llama that follows each byte by one of the bytes in `says`, all equally likely; `$` there is the EOS.

    By default `Verdict: a`, `Verdict: b` or, in one of three, `No`. Its weights are random where nothing is said.
    """
    import torch
    from transformers import LlamaForCausalLM

    own = tokenizer(chat)
    size = len(own)
    chain = "Verdict: "
    follow = {"\n": "VVN", "N": "o", "o": "$", " ": "ab", "a": "$", "b": "$"}
    follow |= dict(pairwise(chain))
    follow = follow if says is None else says
    config = llama_config(own, hidden_size=320, num_attention_heads=4, max_position_embeddings=8192)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:  # nothing but the last token's own embedding comes to the head
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size, 320))
        model.lm_head.weight.zero_()

        def place(byte: str) -> int:
            return int(own.eos_token_id if byte == "$" else own(byte, add_special_tokens=False)["input_ids"][0])

        for byte, after in follow.items():
            for each in sorted(set(after)):
                # Logarithm of how often it is written, far above everything else.
                gain = 40.0 + float(torch.tensor(float(after.count(each))).log())
                model.lm_head.weight[place(each), place(byte)] = gain / 320**0.5
    model.save_pretrained(folder)
    own.save_pretrained(folder)
    return folder
