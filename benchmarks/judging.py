"""How fast pairs are judged: several ways side by side, in one run, on a Llama initialised here.

    OMP_NUM_THREADS=2 python benchmarks/judging.py                                  # about 40 M parameters
    python benchmarks/judging.py --layers 2 --hidden 128 --pairs 2                   # a quick look
    OMP_NUM_THREADS=2 python benchmarks/judging.py --growth                          # by principles, and by length
    SALMON_VLLM_PYTHON=PYTHON OMP_NUM_THREADS=2 python benchmarks/judging.py         # vLLM's interpreter: beside it
    python benchmarks/judging.py --device cuda --dtype bfloat16 --hidden 2048 --layers 24 --pairs 32

Each pair is judged under every principle in both orders. Printed per way: pairs/s, its ratio to the padded way, and its
share of the limit, which is the speed of plain unpadded forward passes divided by the pair's unique tokens. Plain
passes are timed with PyTorch's linear layers and with those that our engine lays out for this CPU, and the faster ones
are the limit: what other products of matrices gain is not counted as gained by sharing. Tokens are counted in two ways.
"Prefix and suffixes" counts the tokens of each order once, and each principle once for each order:
what has to be computed when a prefix is read once. "Distinct" counts a token once in all texts in which everything up
to it is the same, so both orders' instruction once, and once what all principles begin with: no exact way can compute
less. The first is the denominator of the column `of limit`, so a way that shares more can have more than 100 %; beside
it stands the share of the second, stricter limit.

`--cpu-time` counts computing time, of vLLM's process too, instead of what the clock says: on a machine that does other
things as well, with OMP_NUM_THREADS=1, that is what can be compared.

Plain passes, ours and vLLM's take turns, pair by pair or a few at a time (`--rounds`). Weights are random: speed does
not depend on them. The slow ways are timed on a sample of their batches.

`--growth` judges by 11, 44 and 110 principles, and pairs of 256 to 2,048 tokens: what a pair costs may not grow faster
than plain passes over its distinct tokens do, but for a tenth. Longer texts cost plain passes more per token, since
attention looks further back. Printed too: the exponents from the smallest to the largest. Exit code 1 where it grows
faster.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import beside_vllm
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from salmon_core.api import ModelSpec, PrefixRequest
from salmon_transformers.engine import TransformersEngine
from salmon_transformers.grouping import common

CHOICES = ("a", "b")
SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu", "pa", "ri", "so", "ta", "ve", "xo", "zu")


def words(rng: random.Random, tokens: int) -> str:
    """About as many tokens as asked for."""
    return " ".join(rng.choice(SYLLABLES) + rng.choice(SYLLABLES) for _ in range(tokens))


def make_model(folder: str, args: argparse.Namespace) -> None:
    """A random Llama and a byte-level BPE tokenizer, saved."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=["</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([words(random.Random(i), 400) for i in range(50)], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=args.vocabulary,
        hidden_size=args.hidden,
        intermediate_size=args.hidden * 8 // 3,
        num_hidden_layers=args.layers,
        num_attention_heads=max(1, args.hidden // 64),
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_requests(args: argparse.Namespace, seed: int = 1) -> list[PrefixRequest]:
    """Two requests a pair: instruction and outputs in both orders, each with all principles."""
    rng = random.Random(seed)
    suffixes = tuple(f"[principle]\n{words(rng, rng.randint(40, 80))}\n[verdict]\n" for _ in range(args.principles))
    requests = []
    for _ in range(args.pairs):
        size = args.tokens or rng.randint(200, 800)
        instruction, one, two = words(rng, size // 5), words(rng, size * 2 // 5), words(rng, size * 2 // 5)
        for first, second in ((one, two), (two, one)):
            requests.append(PrefixRequest(f"[task]\n{instruction}\n[a]\n{first}\n[b]\n{second}\n", suffixes))
    return requests


def padded(model: Any, texts: Sequence[Sequence[int]], width: int | None, keep: int) -> torch.Tensor:
    """The last logits of one left-padded batch; `keep` 0 computes the logits of all positions."""
    width = width or max(map(len, texts))
    ids = torch.tensor([[0] * (width - len(text)) + list(text[-width:]) for text in texts], device=model.device)
    mask = torch.tensor(
        [[0] * (width - len(text)) + [1] * min(width, len(text)) for text in texts], device=model.device
    )
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "use_cache": False}
    return model(**inputs, logits_to_keep=keep).logits[:, -1].float()  # type: ignore[no-any-return]


def seconds(work: Callable[[], Any], *, cpu: bool = False) -> float:
    """Wall time, the device's work included; or the computing time of this process and of those that it started."""
    clock = beside_vllm.cpu_seconds if cpu else time.perf_counter
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - start


@dataclass(frozen=True)
class Measured:
    """One size.

    Attributes:
        unique: tokens of a pair, what the texts of an order share counted once; `total` those of all its texts.
        distinct: the same, what any texts share counted once.
        limit: pairs/s of plain unpadded forward passes over the unique tokens; of the faster linear layers.
        plain: the same of PyTorch's own.
        rates: pairs/s by way.
        deviation: of our log-odds from plain logits, the largest; 0 where only ours was timed.
        vllm: the same of vLLM's from ours.
        peak: memory of this process so far, MiB.
    """

    unique: float
    distinct: float
    total: float
    limit: float
    plain: float
    rates: dict[str, float]
    deviation: float
    vllm: float
    peak: float

    @property
    def strict(self) -> float:
        """Pairs/s of plain unpadded forward passes over the distinct tokens."""
        return self.limit * self.unique / self.distinct


OURS = "ours (what texts share once, suffixes packed)"
VLLM = "vLLM, prefixes cached"
PADDED = "padded to the longest, last logits, batches of 8"
REFERENCE = "reference style: padded to 1536, all logits"


def distinct(texts: Sequence[Sequence[int]]) -> int:
    """Tokens with different ones before them, themselves included: the nodes of the texts' tree."""
    ordered = sorted(map(list, texts))
    return sum(map(len, ordered)) - sum(common(*two) for two in pairwise(ordered))


def measure(args: argparse.Namespace, *, slow: bool) -> Measured:
    """Times ours and vLLM's, and the slow ways where they are asked for."""
    requests = make_requests(args)
    each = 2 * math.ceil(args.pairs / args.rounds)
    rounds = [requests[i : i + each] for i in range(0, len(requests), each)]
    took: Counter[str] = Counter()
    ours: list[list[tuple[float, float]]] = []
    theirs: list[list[tuple[float, float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        make_model(folder, args)
        spec = ModelSpec(folder, dtype=args.dtype, device=args.device)
        engine = TransformersEngine(TransformersEngine.Options(batch_tokens=args.batch_tokens))
        chooser = engine.chooser(spec)
        model = LlamaForCausalLM.from_pretrained(folder, dtype=getattr(torch, args.dtype)).to(args.device).eval()
        encode = chooser.codec.encode
        # Suffixes are tokens of their own, as they begin with a bracket at the beginning of a line.
        suffixes = sum(len(encode(suffix)) for suffix in requests[0].suffixes)
        other = make_requests(argparse.Namespace(**{**vars(args), "pairs": 1, "tokens": 128}), seed=7)
        vllm = beside_vllm.beside("chooser", spec, args) if slow else nullcontext()
        with torch.inference_mode(), vllm as beside:
            for warm in (chooser, beside):
                if warm is not None:
                    warm.choose(other, CHOICES)
            model.model(input_ids=torch.tensor([encode(other[0].prefix)], device=args.device), use_cache=False)
            for own in rounds:
                prefixes = [torch.tensor([encode(request.prefix)], device=args.device) for request in own]
                tokens = sum(each.numel() for each in prefixes)
                for name, body in (("plain", model.model), ("laid out", chooser.network.base_model)):
                    alone = seconds(
                        lambda body=body, ids=prefixes: [body(input_ids=each, use_cache=False) for each in ids],  # type: ignore[misc]
                        cpu=args.cpu_time,
                    )
                    took[name] += alone * (tokens + len(own) * suffixes) / tokens
                took["unique"] += tokens + len(own) * suffixes
                took[OURS] += seconds(lambda own=own: ours.extend(chooser.choose(own, CHOICES)), cpu=args.cpu_time)  # type: ignore[misc]
                if beside is not None:
                    took[VLLM] += seconds(lambda own=own: theirs.extend(beside.choose(own, CHOICES)), cpu=args.cpu_time)  # type: ignore[misc]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    texts = [encode(text) for request in requests for text in request.texts]
    rates = {name: args.pairs / took[name] for name in (OURS, VLLM) if took[name]}
    deviation = 0.0
    if slow:
        found, deviation = padded_ways(model, texts, ours, [encode(choice)[0] for choice in CHOICES], args)
        rates |= found
    odds = [torch.tensor([[one - two for one, two in row] for row in rows]) for rows in (ours, theirs) if rows]
    return Measured(
        unique=took["unique"] / args.pairs,
        distinct=distinct(texts) / args.pairs,
        total=sum(map(len, texts)) / args.pairs,
        limit=args.pairs / min(took["plain"], took["laid out"]),
        plain=args.pairs / took["plain"],
        rates=rates,
        deviation=deviation,
        vllm=(odds[0] - odds[1]).abs().max().item() if theirs else 0.0,
        peak=peak,
    )


def padded_ways(
    model: Any,
    texts: Sequence[Sequence[int]],
    ours: Sequence[Sequence[tuple[float, float]]],
    choices: Sequence[int],
    args: argparse.Namespace,
) -> tuple[dict[str, float], float]:
    """-> pairs/s of the ways that share nothing; the largest deviation of our logits from theirs."""
    begins = list(range(0, len(texts), 8))
    # Every so many-th batch: a sample of all lengths.
    begins = begins[:: max(1, len(begins) // args.sample)][: args.sample]
    sample = [texts[i : i + 8] for i in begins]
    pairs = args.pairs / len(texts)
    plain: list[torch.Tensor] = []
    with torch.inference_mode():
        last = seconds(lambda: plain.extend(padded(model, batch, None, 1) for batch in sample), cpu=args.cpu_time)
        every = seconds(lambda: [padded(model, batch, 1536, 0) for batch in sample[:2]], cpu=args.cpu_time)
    rates = {
        PADDED: pairs * sum(map(len, sample)) / last,
        REFERENCE: pairs * sum(map(len, sample[:2])) / every,
    }
    flat = [pair for rows in ours for pair in rows]
    picked = [pair for i in begins for pair in flat[i : i + 8]]
    return rates, (torch.tensor(picked) - torch.cat(plain)[:, choices].cpu()).abs().max().item()


def side_by_side(args: argparse.Namespace) -> int:
    """All ways on the same pairs."""
    found = measure(args, slow=True)
    clock = "computing time" if args.cpu_time else "time by the clock"
    print(f"{args.dtype}, {args.device}, {torch.get_num_threads()} threads, {clock}; {args.pairs} pairs,")
    print(f"{args.principles} principles, 2 orders; tokens a pair: {found.total:.0f} in all,", end=" ")
    print(f"{found.unique:.0f} as prefix and suffixes, {found.distinct:.0f} distinct")
    print(f"limit {found.limit:.3f} pairs/s, for distinct tokens {found.strict:.3f};", end=" ")
    print(f"with PyTorch's own linear layers {found.plain:.3f}")
    print(f"largest deviation of ours from plain logits {found.deviation:.1e}; {found.peak:.0f} MiB after ours", end="")
    if VLLM in found.rates:
        print(f"\nvLLM's process at most {beside_vllm.peak():.0f} MiB;", end=" ")
        print(f"its log-odds from ours at most {found.vllm:.1e}", end="")
    print(f"\n\n{'':52}{'pairs/s':>9}{'ratio':>8}{'of limit':>10}{'distinct':>10}")
    for name, rate in sorted(found.rates.items(), key=lambda item: item[1]):
        print(f"{name:52}{rate:9.3f}{rate / found.rates[PADDED]:8.2f}{rate / found.limit:10.0%}", end="")
        print(f"{rate / found.strict:10.0%}")
    return 0


def growth(args: argparse.Namespace) -> int:
    """Ours alone, by size; 1 where a pair's cost grows faster than plain passes over its distinct tokens."""
    series = {
        "principles": [(count, {"principles": count}) for count in (11, 44, 110)],
        "tokens of a pair's texts": [(tokens, {"tokens": tokens}) for tokens in (256, 512, 1024, 2048)],
    }
    good = True
    for what, sizes in series.items():
        print(f"{what:26}{'unique':>9}{'distinct':>10}{'pairs/s':>10}{'of limit':>10}{'MiB':>8}")
        found: list[Measured] = []
        for size, changed in sizes:
            found.append(measure(argparse.Namespace(**{**vars(args), **changed}), slow=False))
            last = found[-1]
            print(f"{size:<26}{last.unique:9.0f}{last.distinct:10.0f}{last.rates[OURS]:10.3f}", end="")
            print(f"{last.rates[OURS] / last.limit:10.0%}{last.peak:8.0f}", flush=True)
        costs = [found[0].rates[OURS] / each.rates[OURS] for each in found]
        tokens = [each.distinct / found[0].distinct for each in found]
        plain = [found[0].strict / each.strict for each in found]
        good &= all(cost <= 1.1 * own for cost, own in zip(costs, plain, strict=True))
        print(f"{tokens[-1]:.2f} times the tokens cost {costs[-1]:.2f} times as much,", end=" ")
        print(f"exponent {math.log(costs[-1]) / math.log(tokens[-1]):.2f};", end=" ")
        print(f"in plain passes {plain[-1]:.2f} times, exponent {math.log(plain[-1]) / math.log(tokens[-1]):.2f}\n")
    print("a pair's cost grows no faster than plain passes over its distinct tokens, but for a tenth:", end=" ")
    print("holds" if good else "FAILS")
    return 0 if good else 1


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--principles", type=int, default=11)
    parser.add_argument("--tokens", type=int, default=0, help="of a pair's texts together; 0: from 200 to 800")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=16384)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch-tokens", type=int, default=None)
    parser.add_argument("--sample", type=int, default=4, help="batches of 8 timed for each of the slow ways")
    parser.add_argument("--rounds", type=int, default=None, help="turns; by default 4 on a CPU, 1 on a GPU")
    beside_vllm.add_arguments(parser)
    parser.add_argument("--cpu-time", action="store_true", help="computing time instead of the clock's")
    parser.add_argument("--growth", action="store_true", help="by the number of principles, and by length")
    args = parser.parse_args()
    args.rounds = min(args.pairs, args.rounds or (4 if args.device == "cpu" else 1))
    return growth(args) if args.growth else side_by_side(args)


if __name__ == "__main__":
    sys.exit(main())
