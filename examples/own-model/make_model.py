"""Makes the example's model: a GPT-2 of 84,000 random weights, with a tokenizer trained on the example's texts.

It knows nothing. It stands in for your own model, so that the whole river can be seen to run on any machine in about a
minute. Like GPT-2's, its tokenizer has no chat template, and no pad token but the EOS.

    python make_model.py [FOLDER]     # by default `model`, beside this file
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
EOS = "<|endoftext|>"
#: Far above GPT-2's 0.02: such a small random model would otherwise prefer the output shown first in nearly every
#: judgment, the two orders would disagree, and no preference would be left.
SPREAD = 0.4


def texts() -> list[str]:
    """What the tokenizer is trained on: the example's prompts, demonstrations and principles."""
    found = [(HERE / "principles.yaml").read_text(encoding="utf-8")]
    for name in ("prompts.jsonl", "demonstrations.jsonl"):
        for line in (HERE / name).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found += [row[key] for key in ("prompt", "completion") if key in row]
    return found


def main(folder: Path) -> None:
    """Writes a plain Hugging Face folder: config, safetensors, tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=[EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=EOS)
    config = GPT2Config(
        vocab_size=len(fast),
        n_positions=1024,
        n_embd=32,
        n_layer=2,
        n_head=2,
        initializer_range=SPREAD,
        bos_token_id=fast.eos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.eos_token_id,
    )
    logging.disable_progress_bar()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    print(f"{sum(p.numel() for p in model.parameters())} random weights, {len(fast)} tokens: {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "model")
