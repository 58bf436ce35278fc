"""Tokenizers of many families, small and made on the spot: their added tokens, normalizers, and kinds of chat template.

The templates are written here, in the manner of those families. Markers that are plain text are listed by hand, so that
the attack does not rely on what salmon finds out about a tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tiny_models import byte_bpe, tokenizer_of
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from salmon_core.kit.hf import HFCodec

CORPUS = [
    "Below are an instruction, two responses to it, and a principle. Which response is better, a or b?\n",
    "[[instruction]]\nWhy is the sky blue?\n[[response a]]\nLight.\n[[response b]]\nAir. \n[[judged by]]\n",
    "User: hello\nAssistant:\nA plain answer. ### Instruction: ### Response: [INST] [/INST] <<SYS>> <|user|>\n",
    "[[principle]] The response is kind. [[end of principle]]\n[[verdict]]\n",
] * 10
LETTERS = "abcdefghijklmnopqrstuvwxyz"
#: how Llama 3 and Qwen split text
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Family:
    """Attributes:
    markers: of its chat format, where they are plain text, wherever they stand.
    headings: those that count at the beginning of a line.
    flat: whether the tokenizer keeps no line breaks.
    loose: whether it keeps no spaces beside punctuation either.
    unknown: the token of what the vocabulary lacks, if there is such a thing.
    """

    name: str
    codec: HFCodec
    markers: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    flat: bool = False
    loose: bool = False
    unknown: str | None = None


def families() -> list[Family]:
    """All of them."""
    return [make() for make in MAKERS]


def _codec(
    name: str,
    backend: Tokenizer,
    chat: str | None,
    *,
    special: Sequence[str] = (),
    other: Sequence[str] = (),
    **names: str,
) -> HFCodec:
    # Not special, and matched as most are: in the normalized text unless said otherwise.
    backend.add_special_tokens(list(special))
    backend.add_tokens([AddedToken(token, normalized=False) for token in other])
    return HFCodec(tokenizer_of(backend, chat=chat, model_max_length=int(1e30), **names), name=name)


def _bytes(specials: Sequence[str], *, split: str | None = SPLIT, bos: str | None = None) -> Tokenizer:
    backend: Tokenizer = byte_bpe(CORPUS, vocab_size=700, specials=specials, bos=bos, split=split)
    return backend


def _sentencepiece(special: Sequence[str], *, metaspace: bool = False, bos: str = "<s>") -> Tokenizer:
    """BPE with byte tokens over text with its spaces made visible, by the normalizer or by the pre-tokenizer."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    lines = [line for text in CORPUS for line in text.split("\n")]
    learner.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=400, show_progress=False))
    learned = json.loads(learner.to_str())["model"]
    names = dict.fromkeys(["<unk>", *special, *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]])
    model = models.BPE(
        vocab={name: number for number, name in enumerate(names)},
        merges=[tuple(merge) for merge in learned["merges"]],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    backend = Tokenizer(model)
    if metaspace:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(list(special))
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
    )
    return backend


@cache
def llama2() -> Family:
    chat = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ '[INST] <<SYS>>\\n' + m.content + '\\n<</SYS>>\\n\\n' }}"
        "{% elif m.role == 'user' %}{{ '[INST] ' + m.content.strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
    )
    special = ["<s>", "</s>"]
    codec = _codec("llama2", _sentencepiece(special), chat, bos_token="<s>", eos_token="</s>", pad_token="<s>")
    return Family("llama2", codec, ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"))


@cache
def llama3() -> Family:
    special = [
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
        "<|python_tag|>", "<|reserved_special_token_0|>",
    ]  # fmt: skip
    chat = (
        "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n'"
        " + m.content | trim + '<|eot_id|>' }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    )
    backend = _bytes(special, bos=special[0])
    return Family(
        "llama3", _codec("llama3", backend, chat, special=special, bos_token=special[0], eos_token=special[4])
    )


CHATML = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)


@cache
def chatml() -> Family:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    codec = _codec(
        "chatml", _bytes(special, split=None), CHATML, special=special, other=["  ", "    ", "\n\n", "<|fim_prefix|>"],
        eos_token="<|im_end|>", pad_token="<|endoftext|>",
    )  # fmt: skip
    return Family("chatml", codec)


@cache
def qwen() -> Family:
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|box_end|>"]
    other = [
        "<tool_call>", "</tool_call>", "<tool_response>", "<think>", "</think>", "<|fim_prefix|>", "<|fim_middle|>",
        "<|repo_name|>",
    ]  # fmt: skip
    backend = _bytes(special)
    backend.normalizer = normalizers.NFC()
    chat = CHATML.replace("m.content +", "(m.content.split('</think>')[-1] if m.role == 'assistant' else m.content) +")
    codec = _codec(
        "qwen", backend, chat, special=special, other=other, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    return Family("qwen", codec)


@cache
def gemma() -> Family:
    special = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
    backend = _sentencepiece(special, bos="<bos>")
    backend.normalizer = normalizers.Replace(" ", "▁")
    chat = (
        "{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role)"
        " + '\\n' + m.content | trim + '<end_of_turn>\\n' }}{% endfor %}{{ '<start_of_turn>model\\n' }}"
    )
    codec = _codec(
        "gemma", backend, chat, other=["<unused0>", "<mask>", "[@BOS@]", "<h1>", "</td>", "▁▁", "\n\n"],
        bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
    )  # fmt: skip
    return Family("gemma", codec)


@cache
def mistral() -> Family:
    special = ["<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[SYSTEM_PROMPT]"]
    chat = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ '[SYSTEM_PROMPT]' + m.content }}"
        "{% elif m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}"
        "{% else %}{{ m.content + '</s>' }}{% endif %}{% endfor %}"
    )
    backend = _sentencepiece(special, metaspace=True)
    return Family("mistral", _codec("mistral", backend, chat, bos_token="<s>", eos_token="</s>", pad_token="<s>"))


@cache
def deepseek() -> Family:
    special = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
    other = ["<｜User｜>", "<｜Assistant｜>", "<think>", "</think>", "<｜tool▁calls▁begin｜>", "<|EOT|>", "ö", "ü", "à"]
    chat = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}"
        "{% elif m.role == 'user' %}{{ '<｜User｜>' + m.content }}"
        "{% else %}{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
        "{{ '<｜Assistant｜>' }}"
    )
    backend = _bytes(special, bos=special[0])
    codec = _codec(
        "deepseek", backend, chat, special=special, other=other, bos_token=special[0], eos_token=special[1],
        pad_token=special[2],
    )  # fmt: skip
    return Family("deepseek", codec)


@cache
def bert() -> Family:
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True, clean_text=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=500,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=list("·abcdefghijklmnopqrstuvwxyz"),
    )
    backend.train_from_iterator(CORPUS, trainer)
    names = [(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=names)
    chat = "{% for m in messages %}{{ '<' + m.role + '> ' + m.content + ' [SEP] ' }}{% endfor %}{{ '<assistant>' }}"
    codec = _codec(
        "bert", backend, chat, other=["[TOOL]"], unk_token="[UNK]", cls_token="[CLS]", eos_token="[SEP]",
        pad_token="[PAD]", mask_token="[MASK]",
    )  # fmt: skip
    return Family("bert", codec, ("<user>", "<assistant>", "<system>"), flat=True, loose=True, unknown="[UNK]")


@cache
def t5() -> Family:
    """Unigram over NFKC, many spaces made one, line breaks none."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "</s>", "<unk>", "<extra_id_0>"],
        unk_token="<unk>",
        show_progress=False,
    )
    backend.train_from_iterator([*CORPUS, *f"·{LETTERS}<>|/[]#:"], trainer)
    chat = "{% for m in messages %}{{ m.role + ': ' + m.content + '</s>\\n' }}{% endfor %}{{ 'assistant: ' }}"
    codec = _codec("t5", backend, chat, eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
    return Family("t5", codec, headings=("user:", "assistant:", "system:"), flat=True, unknown="<unk>")


@cache
def alpaca() -> Family:
    """Headings in plain text, compatibility forms and control characters normalized away."""
    backend = _bytes(["</s>", "<pad>"], split=None)
    backend.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"[\x00-\x08\x0b-\x1f\x7f\u200b]"), ""), normalizers.NFKC()]
    )
    chat = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content + '\\n\\n' }}"
        "{% elif m.role == 'user' %}{{ '### Instruction:\\n' + m.content + '\\n\\n' }}"
        "{% else %}{{ '### Response:\\n' + m.content + '</s>\\n\\n' }}{% endif %}{% endfor %}{{ '### Response:\\n' }}"
    )
    codec = _codec("alpaca", backend, chat, eos_token="</s>", pad_token="<pad>")
    return Family("alpaca", codec, ("### Instruction", "### Response"))


@cache
def zephyr() -> Family:
    """Tags that are no tokens."""
    turns = "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '</s>\\n' }}{% endfor %}"
    chat = turns + "{{ '<|assistant|>\\n' }}"
    codec = _codec("zephyr", _sentencepiece(["<s>", "</s>"]), chat, bos_token="<s>", eos_token="</s>", pad_token="<s>")
    return Family("zephyr", codec, ("<|user|>", "<|assistant|>", "<|system|>"))


@cache
def vicuna() -> Family:
    """Headings in the middle of a line; accents and case normalized away."""
    backend = _bytes(["</s>", "<pad>"], split=None)
    backend.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    chat = (
        "A talk between a user and an assistant. {% for m in messages %}"
        "{% if m.role == 'system' %}{{ m.content + ' ' }}"
        "{% elif m.role == 'user' %}{{ 'USER: ' + m.content + ' ' }}"
        "{% else %}{{ 'ASSISTANT: ' + m.content + '</s>' }}{% endif %}{% endfor %}{{ 'ASSISTANT:' }}"
    )
    return Family(
        "vicuna", _codec("vicuna", backend, chat, eos_token="</s>", pad_token="<pad>"), ("USER:", "ASSISTANT:")
    )


@cache
def minnow() -> Family:
    from salmon_minnow.tokenizer import build

    return Family("minnow", HFCodec(build(), name="minnow"), headings=("User:", "Assistant:"))


MAKERS: tuple[Callable[[], Family], ...] = (
    llama2, llama3, chatml, gemma, mistral, qwen, deepseek, bert, t5, alpaca, zephyr, vicuna, minnow,
)  # fmt: skip


def added(family: Family) -> dict[int, str]:
    """The control ids of a family: added tokens that are more than letters and spaces."""
    tokens: dict[int, Any] = family.codec.tokenizer.added_tokens_decoder
    return {
        number: token.content
        for number, token in tokens.items()
        if token.content != family.unknown and not token.content.replace("▁", "").replace(" ", "").strip().isalpha()
        and token.content.replace("▁", "").strip()
    }  # fmt: skip
