"""Texts to judge, and what plain forward passes say of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from salmon_core.api import PrefixRequest

VERDICT = "[[verdict]]\n"
#: architectures that can be told which attention to use
BOTH = ("llama", "gpt2", "qwen2", "mistral")


def judge_requests(same: bool = True) -> list[PrefixRequest]:
    """Prefixes of several lengths, twice each, and suffixes of several lengths."""
    requests = []
    for k in (1, 3, 3, 7, 20):
        suffixes = tuple(
            f"[[principle]] be brief{' and more' * (i % 3 + (0 if same else k % 4))} {i}\n{VERDICT}" for i in range(5)
        )
        for order in ("one two", "two one"):
            requests.append(PrefixRequest(f"[[instruction]] {'the salmon swims ' * k}[[output a]] {order}\n", suffixes))
    return requests


def plain_logits(folder: str, codec, requests: Sequence[PrefixRequest]) -> list[list[tuple[float, float]]]:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    choices = [codec.encode(choice)[0] for choice in "ab"]
    with torch.no_grad():
        return [
            [tuple(model(torch.tensor([codec.encode(text)])).logits[0, -1, choices].tolist()) for text in request.texts]
            for request in requests
        ]


def plain_scores(folder: str, codec, requests: Sequence[PrefixRequest]) -> list[list[float]]:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return [[model(torch.tensor([codec.encode(t)])).logits[0, 0].item() for t in r.texts] for r in requests]


def tokens_seen(loaded) -> list[tuple[int, ...]]:
    """Shapes of what the model's body is given from now on."""
    seen: list[tuple[int, ...]] = []
    loaded._part._body.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return seen
