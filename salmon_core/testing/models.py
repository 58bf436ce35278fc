"""A model small enough for any test: a token is a byte, and what it says is counted from the text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from salmon_core.api.models import Chooser, PrefixRequest, Sampler, Sampling, Scorer
from salmon_core.records import Completion, Message, Prompt
from salmon_core.rng import named_rng

_WORDS = ("the", "river", "runs", "down", "to", "a", "quiet", "sea", "and", "we", "follow")


class ByteCodec:
    """A `TokenCodec` of bytes; the EOS is the control character of that meaning."""

    eos_token = "\x03"
    eos_id = 3
    bos_token: str | None = None
    special_tokens: tuple[str, ...] = ("\x03",)
    max_length: int | None = None

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return bytes(i for i in ids if not (skip_special and i == self.eos_id)).decode(errors="replace")

    def chat(self, messages: Sequence[Message]) -> str:
        return "".join(f"{m['role']}: {m['content']}\n" for m in messages) + "assistant: "


class ByteModel(Sampler, Chooser, Scorer):
    """Samples words by seed, prompt and sample; chooses and scores by a hash of the whole text.

    Attributes:
        closed: how often it was closed.
    """

    def __init__(self) -> None:
        self.closed = 0

    @property
    def codec(self) -> ByteCodec:
        return ByteCodec()

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        return [self._one(prompt, index, sampling) for prompt, _ in prompts for index in range(sampling.samples)]

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        return [[(_number(text), _number("b" + text)) for text in request.texts] for request in requests]

    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        return [[_number(text) for text in request.texts] for request in requests]

    def close(self) -> None:
        self.closed += 1

    def _one(self, prompt: Prompt, index: int, sampling: Sampling) -> Completion:
        rng = named_rng(sampling.seed, prompt.id, index)
        words = [_WORDS[int(rng.random() * len(_WORDS))] for _ in range(1 + int(rng.random() * 12))]
        ids = [*self.codec.encode(" ".join(words)), self.codec.eos_id][: sampling.max_new_tokens]
        text = self.codec.decode(ids, skip_special=True)
        cut = min((text.find(stop) for stop in sampling.stop if stop in text), default=-1)
        if cut >= 0:
            text = text[:cut]
            ids = [*self.codec.encode(text), self.codec.eos_id]
        stopped = ids[-1] == self.codec.eos_id
        return Completion(prompt.id, index, text, tuple(ids), len(ids) - stopped, stopped)


def _number(text: str) -> float:
    """From -2 to 2, the same for the same text in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**30 - 2
