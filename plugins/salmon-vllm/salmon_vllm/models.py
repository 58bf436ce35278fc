"""Models that vLLM has opened: to sample from, to choose with, to score with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from salmon_core.api import Chooser, OpenModel, PrefixRequest, Sampler, Sampling, Scorer
from salmon_core.calls import part
from salmon_core.errors import SalmonError
from salmon_core.kit.hf import HFCodec
from salmon_core.kit.reading import choice_ids, text_ids
from salmon_core.kit.sampling import StopStrings, completion, prompt_ids
from salmon_core.records import Completion, Prompt
from salmon_core.rng import named_rng
from salmon_vllm.process import Child


class _Open(OpenModel):
    """A model in vLLM's process.

    Args:
        codec: its tokenizer, here; vLLM gets ids.
        vocabulary: ids that the model knows.
    """

    def __init__(self, child: Child, codec: HFCodec, vocabulary: int):
        self._child: Child | None = child
        self._codec, self._vocabulary = codec, vocabulary

    @property
    def codec(self) -> HFCodec:
        """Its tokenizer."""
        return self._codec

    def close(self) -> None:
        """Ends vLLM's process."""
        if self._child is not None:
            self._child.close()
            self._child = None

    @property
    def _open(self) -> Child:
        if self._child is None:
            raise SalmonError("the model was closed", where=self._codec.name, hint="open it again")
        return self._child

    def _answers(self, kind: str, prompts: Sequence[Sequence[int]], **more: Any) -> list[dict[str, Any]]:
        """What vLLM says of each, in order."""
        self._check_ids(prompts)
        answers: list[dict[str, Any]] = [{} for _ in prompts]
        if not prompts:
            return answers
        done = 0
        for heard in self._open.ask({kind: prompts, **more}):
            if "done" in heard:
                answers[heard["done"]] = dict(heard)
                done += 1
                part(done / len(prompts))
        return answers

    def _check_ids(self, prompts: Sequence[Sequence[int]]) -> None:
        if (highest := max((max(ids) for ids in prompts), default=0)) >= self._vocabulary:
            raise SalmonError(
                f"the tokenizer has the id {highest}, but the model only {self._vocabulary} ids",
                where=self._codec.name,
                hint="save the model with the embeddings of its tokenizer",
            )


class VLLMSampler(_Open, Sampler):
    """Samples from a causal language model.

    Args:
        eos: ids at which a text ends.
    """

    def __init__(self, child: Child, codec: HFCodec, vocabulary: int, eos: frozenset[int]):
        super().__init__(child, codec, vocabulary)
        self._eos = eos

    def chooser(self) -> VLLMChooser:
        """The same process, to choose with; this is not used any more."""
        child, self._child = self._open, None
        return VLLMChooser(child, self._codec, self._vocabulary)

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """Completions of (prompt, its rendered text): `sampling.samples` per prompt, in that order.

        Raises:
            SalmonError: a prompt leaves no room for `max_new_tokens`; settings that make no sense; vLLM fails.
        """
        encoded = prompt_ids(prompts, sampling, self._codec, self._codec.max_length)
        self._check_ids(encoded)
        pairs = zip(prompts, encoded, strict=True)
        rows = [(prompt.id, index, ids) for (prompt, _), ids in pairs for index in range(sampling.samples)]
        params = [
            {
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_tokens": sampling.max_new_tokens,
                "seed": int(named_rng(sampling.seed, "vllm", prompt, index).random() * 2**31),
                # Exactly those ids, whatever vLLM reads in the model's files.
                "ignore_eos": True,
                "stop_token_ids": sorted(self._eos),
            }
            for prompt, index, _ in rows
        ]
        stop = StopStrings(sampling.stop, self._codec)
        out: list[list[int]] = [[] for _ in rows]
        ended: list[str | None] = [None for _ in rows]
        left = set(range(len(rows)))
        question = {"generate": [ids for *_, ids in rows], "params": params, "stream": bool(stop)}
        for heard in self._open.ask(question) if rows else ():
            for number, ids in heard.get("new", ()):
                if number in left:
                    ended[number] = self._taken(out[number], ids, stop)
                    if ended[number] == "stop":
                        self._open.enough(number)
                        left.discard(number)
            if "done" in heard:
                left.discard(heard["done"])
                if heard["reason"] not in ("stop", "length"):
                    what = f"a completion ended in a way that is no end of a text: {heard['reason']}"
                    raise SalmonError(what, where=self._codec.name)
            part(1 - len(left) / len(rows))
        return [
            completion(prompt, index, ids, end, stop, self._codec)
            for (prompt, index, _), ids, end in zip(rows, out, ended, strict=True)
        ]

    def _taken(self, out: list[int], new: Sequence[int], stop: StopStrings) -> str | None:
        """Adds what was generated, up to its end. -> how it ended, if it did."""
        for token in new:
            out.append(token)
            if token in self._eos:
                return "eos"
            if stop and stop.hit(out):
                return "stop"
        return None


class VLLMChooser(_Open, Chooser):
    """Asks a causal language model which of two next tokens is likelier."""

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        """For each request and suffix, the float32 log-probabilities of the two choices as the next token.

        Raises:
            SalmonError: a choice is not one single token after the suffix; a text is too long; vLLM fails.
        """
        tokens = choice_ids([suffix for request in requests for suffix in request.suffixes], choices, self._codec)
        texts = text_ids(requests, self._codec, self._codec.max_length)
        params = [{"temperature": 0.0, "max_tokens": 1, "logprobs": 2, "logprob_token_ids": pair} for pair in tokens]
        # In this order, so that texts with one beginning come one after the other and vLLM reads it once.
        answers = self._answers("generate", texts, params=params, stream=False)
        found = iter(
            [
                (float(answer["logprobs"][str(one)]), float(answer["logprobs"][str(two)]))
                for answer, (one, two) in zip(answers, tokens, strict=True)
            ]
        )
        pairs = [[next(found) for _ in request.suffixes] for request in requests]
        _check_numbers((value for row in pairs for pair in row for value in pair), self._codec.name)
        return pairs


class VLLMScorer(_Open, Scorer):
    """Scores with a sequence classifier of one label."""

    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        """For each request and suffix, the reward model's score at the last token of the whole text.

        Raises:
            SalmonError: a text is too long; vLLM fails.
        """
        texts = text_ids(requests, self._codec, self._codec.max_length)
        values = [answer["values"] for answer in self._answers("score", texts)]
        if odd := next((each for each in values if len(each) != 1), None):
            raise SalmonError(f"vLLM gives {len(odd)} scores for a text", where=self._codec.name)
        _check_numbers((value for (value,) in values), self._codec.name)
        found = iter(values)
        return [[float(next(found)[0]) for _ in request.suffixes] for request in requests]


def _check_numbers(values: Any, where: str) -> None:
    if any(math.isnan(value) for value in values):
        raise SalmonError("the model's outputs are not numbers", where=where, hint="check its weights and its dtype")
