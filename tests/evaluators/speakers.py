"""A file plugin: policies that say so many words, a judge that counts them, and an oracle that does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from salmon_core import Component, SalmonError, hookimpl
from salmon_core.api import Engine, ModelSpec, Oracle, Sampler, Sampling
from salmon_core.records import Completion, Prompt

_ANSWER = re.compile(r"\[\[answer (\d)( of [ab]|)\]\]\n(.*?)\n\[\[end of answer \1\2\]\]", re.DOTALL)


class Codec:
    """A token is a character."""

    eos_token, eos_id, bos_token = "</s>", 0x110000, None
    special_tokens, max_length = ("</s>",), 20000

    def encode(self, text: str) -> list[int]:
        return [self.eos_id if part == "</s>" else ord(part) for part in re.findall("</s>|.", text, re.DOTALL)]

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return "".join(chr(i) if i != self.eos_id else "" if skip_special else "</s>" for i in ids)

    def chat(self, messages: Sequence[Any]) -> str:
        return "".join(f"<{m['role']}>{m['content']}\n" for m in messages) + "<assistant>"


class Speaker(Sampler):
    """Before, an answer has 3 words, one more for each later sample; after, two more but for prompts named `same`."""

    def __init__(self, model: ModelSpec):
        self._model = model

    @property
    def codec(self) -> Codec:
        return Codec()

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        who = Path(self._model.path).parent.name if self._model.path.endswith("model") else Path(self._model.path).name
        with open(os.environ["SPEAKERS_LOG"], "a") as file:
            file.write(f"{who} {len(prompts)}\n")
        if who == os.environ.get("SPEAKERS_DIE"):
            os.kill(os.getpid(), 9)
        found = []
        for prompt, text in prompts:
            for index in range(sampling.samples):
                if who == "judge":
                    said = verdict(text)
                else:
                    more = 2 * (who == "train-policy" and "same" not in prompt.id)
                    said = " ".join(["word"] * (3 + index + more))
                found.append(Completion(prompt.id, index, said, (), len(said.split()), True))
        return found


def verdict(text: str) -> str:
    """By the words of the last answers; of a question about tides none."""
    answers = {letter.strip(): len(said.split()) for _, letter, said in _ANSWER.findall(text)}
    if "tides" in text:
        return "I would say\nRating: splendid"
    if "" in answers:
        return f"I count the words.\n**Rating: {answers['']}/10**"
    a, b = answers["of a"], answers["of b"]
    return f"I count the words.\nVerdict: {'a' if a > b else 'b' if b > a else 'tie'}"


class SpeakerEngine(Engine):
    deterministic = True

    def codec(self, model: ModelSpec) -> Codec:
        return Codec()

    def sampler(self, model: ModelSpec) -> Speaker:
        return Speaker(model)


class Words(Oracle):
    """More words are kinder, and fewer are shorter."""

    def prefer(self, prompt: Prompt, first: str, second: str, principle: str) -> float:
        more = float(len(first.split()) - len(second.split()))
        return {"kind": more, "short": -more}[principle]


class Nobody:
    def __init__(self) -> None:
        raise SalmonError("cannot be asked")


@hookimpl
def salmon_engines() -> Iterable[Component]:
    yield Component("speakers", SpeakerEngine, "so many words")


@hookimpl
def salmon_oracles() -> Iterable[Component]:
    yield Component("words", Words, "counts words")
    yield Component("nobody", Nobody, "is broken")
