"""How fast completions are sampled: this engine beside transformers' `generate` and vLLM, on a Llama initialised here.

    OMP_NUM_THREADS=2 python benchmarks/sampling.py                                  # about 40 M parameters
    python benchmarks/sampling.py --model FOLDER --prompts 64                        # a model of yours
    SALMON_VLLM_PYTHON=PYTHON OMP_NUM_THREADS=2 python benchmarks/sampling.py        # vLLM's interpreter: beside it
    python benchmarks/sampling.py --device cuda --dtype bfloat16 --hidden 2048 --layers 24 --batch 128 --prompts 1024

Prompts and completions are of mixed length: a share of the vocabulary ends a completion, so that lengths are spread
geometrically around `--mean`. `generate` is timed twice: with the prompts in the order they come, and sorted by length,
so that little is padding. All ways have the same prompts, batch size and limit of new tokens, and are timed
alternately, with other prompts in each repeat; what counts is tokens up to each completion's end. vLLM takes as many
rows at once as the batch size says. Ratios are to the faster of the two ways of `generate`; "holds" where ours has 1.2.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import beside_vllm
import torch
from judging import make_model, seconds, words
from transformers import AutoModelForCausalLM

from salmon_core.api import ModelSpec, Sampling
from salmon_core.records import Prompt
from salmon_transformers.engine import TransformersEngine


def ending_ids(model: Any, mean: int, reserved: int) -> list[int]:
    """Ids that end a completion, evenly spread, so many that about one token in `mean` is one of them."""
    size = model.get_input_embeddings().weight.shape[0]
    count = max(1, size // mean)
    return sorted({reserved, *(int(i) for i in torch.linspace(0, size - 1, count))})


class Generate:
    """transformers' way: batches of prompts padded to the left, each until its longest completion ends."""

    def __init__(self, model: Any, codec: Any, args: argparse.Namespace):
        self._model, self._codec, self._args = model, codec, args

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """-> lengths of the completions."""
        lengths: list[int] = []
        ends = torch.tensor(self._model.generation_config.eos_token_id, device=self._model.device)
        for start in range(0, len(texts), self._args.batch):
            rows = self._codec.encode_batch(texts[start : start + self._args.batch])
            width = max(map(len, rows))
            pad = self._codec.eos_id
            ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=self._model.device)
            mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self._model.device)
            out = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                max_new_tokens=self._args.new,
                pad_token_id=pad,
            )[:, width:]
            ended = torch.isin(out, ends)
            first = torch.where(ended.any(1), ended.int().argmax(1) + 1, out.shape[1])
            lengths += first.tolist()
        return lengths


#: how much faster than the faster way of `generate`
GOAL = 1.2
OURS = "ours (ended rows make room for others)"
VLLM = "vLLM"


def make_prompts(count: int, seed: int) -> list[tuple[Prompt, str]]:
    """Of 10 to 200 tokens, about."""
    rng = random.Random(seed)
    texts = [words(rng, rng.randint(10, 200)) for _ in range(count)]
    return [(Prompt(f"p{i}", ({"role": "user", "content": text},)), text) for i, text in enumerate(texts)]


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a folder; by default a Llama is made")
    parser.add_argument("--prompts", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--new", type=int, default=256, help="most new tokens")
    parser.add_argument("--mean", type=int, default=64, help="tokens of a completion, about")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=16384)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    beside_vllm.add_arguments(parser)
    parser.add_argument("--cpu-time", action="store_true", help="computing time instead of the clock's")
    args = parser.parse_args()
    with ExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory())
        if args.model is None:
            make_model(folder, args)
        spec = ModelSpec(args.model or folder, dtype=args.dtype, device=args.device)
        sampler = held.enter_context(TransformersEngine().sampler(spec))
        dtype = "auto" if args.dtype == "auto" else getattr(torch, args.dtype)
        model = AutoModelForCausalLM.from_pretrained(spec.path, dtype=dtype).to(args.device).eval()
        vllm = held.enter_context(beside_vllm.beside("sampler", spec, args, max_num_seqs=args.batch))
        ends = ending_ids(model, args.mean, sampler.codec.eos_id)
        model.generation_config.eos_token_id = ends
        sampler._part.eos_ids = frozenset(ends)
        if vllm is not None:
            vllm._eos = frozenset(ends)
        rates = measure(args, model, sampler, vllm)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    clock = "computing time" if args.cpu_time else "time by the clock"
    print(f"\n{size:.1f} M parameters, {args.dtype}, {args.device}, {torch.get_num_threads()} threads, {clock};")
    print(f"{args.prompts} prompts, batches of {args.batch}, at most {args.new} new tokens\n")
    print(f"{'way':48}{'tokens/s':>10}{'ratio':>8}")
    middle = {name: statistics.median(values) for name, values in rates.items()}
    base = max(rate for name, rate in middle.items() if name.startswith("transformers"))
    for name, rate in sorted(middle.items(), key=lambda item: item[1]):
        print(f"{name:48}{rate:10.1f}{rate / base:8.2f}")
    holds = middle[OURS] >= GOAL * base
    print(f"\nours at least {GOAL} times as fast as generate: {'holds' if holds else 'FAILS'}")
    return 0


def measure(args: argparse.Namespace, model: Any, sampler: Any, vllm: Any) -> dict[str, list[float]]:
    """-> tokens/s by way, one number a repeat."""
    generate = Generate(model, sampler.codec, args)
    settings = {"temperature": 1.0, "max_new_tokens": args.new, "samples": 1, "batch_size": args.batch}

    def in_order(prompts: Sequence[tuple[Prompt, str]]) -> list[int]:
        return generate([text for _, text in prompts])

    def by_length(prompts: Sequence[tuple[Prompt, str]]) -> list[int]:
        return generate(sorted((text for _, text in prompts), key=lambda text: -len(sampler.codec.encode(text))))

    def sampled(model: Any) -> Callable[[Sequence[tuple[Prompt, str]]], list[int]]:
        return lambda prompts: [len(each.token_ids) for each in model.sample(prompts, Sampling(seed=0, **settings))]

    ways: dict[str, Callable[[Sequence[tuple[Prompt, str]]], list[int]]] = {
        "transformers' generate, as they come": in_order,
        "transformers' generate, sorted by length": by_length,
        OURS: sampled(sampler),
    }
    if vllm is not None:
        ways[VLLM] = sampled(vllm)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    torch.manual_seed(0)
    with torch.inference_mode():
        for way in ways.values():
            way(make_prompts(2, seed=1))
        for repeat in range(args.repeats):
            prompts = make_prompts(args.prompts, seed=2 + repeat)
            for name, way in ways.items():
                lengths: list[int] = []
                took = seconds(
                    lambda way=way, lengths=lengths, prompts=prompts: lengths.extend(way(prompts)), cpu=args.cpu_time
                )  # type: ignore[misc]
                rates[name].append(sum(lengths) / took)
                print(f"{name}: {sum(lengths)} tokens, longest {max(lengths)}, {took:.1f} s", flush=True)
    return rates


if __name__ == "__main__":
    sys.exit(main())
