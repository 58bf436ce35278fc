"""How fast pairs are judged: three ways side by side, in one run, on a Llama initialised here.

    OMP_NUM_THREADS=2 python benchmarks/judging.py                                  # about 40 M parameters
    python benchmarks/judging.py --layers 2 --hidden 128 --pairs 2                   # a quick look
    OMP_NUM_THREADS=2 python benchmarks/judging.py --growth                          # by principles, and by length
    python benchmarks/judging.py --device cuda --dtype bfloat16 --hidden 2048 --layers 24 --pairs 32

Each pair is judged under every principle in both orders. Printed per way: pairs/s, its ratio to the padded way, and its
share of the limit, which is the speed of plain unpadded forward passes divided by the pair's unique tokens.
Weights are random: speed does not depend on them. The slow ways are timed on a sample of their batches.

`--growth` judges by 11, 44 and 110 principles, and pairs of 256 to 2,048 tokens: what a pair costs may not grow faster
than its unique tokens do, but for a tenth. Exit code 1 where it does.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from salmon_core.api import ModelSpec, PrefixRequest
from salmon_transformers.engine import TransformersEngine

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


def make_requests(args: argparse.Namespace) -> list[PrefixRequest]:
    """Two requests a pair: instruction and outputs in both orders, each with all principles."""
    rng = random.Random(1)
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


def seconds(work: Callable[[], Any]) -> float:
    """Wall time, the device's work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Measured:
    """One size.

    Attributes:
        unique: tokens of a pair, what its texts share counted once; `total` those of all its texts.
        limit: pairs/s of plain unpadded forward passes over the unique tokens.
        rates: pairs/s by way; ours first.
        deviation: of our log-odds from plain logits, the largest; 0 where only ours was timed.
        peak: memory of this process so far, MiB.
    """

    unique: float
    total: float
    limit: float
    rates: dict[str, float]
    deviation: float
    peak: float


OURS = "ours (prefix once, suffixes packed)"
PADDED = "padded to the longest, last logits, batches of 8"


def measure(args: argparse.Namespace, *, slow: bool) -> Measured:
    """Times ours, and the slow ways where they are asked for."""
    requests = make_requests(args)
    with tempfile.TemporaryDirectory() as folder:
        make_model(folder, args)
        engine = TransformersEngine(TransformersEngine.Options(batch_tokens=args.batch_tokens))
        chooser = engine.chooser(ModelSpec(folder, dtype=args.dtype, device=args.device))
        model = LlamaForCausalLM.from_pretrained(folder, dtype=getattr(torch, args.dtype)).to(args.device).eval()
    codec = chooser.codec
    texts = [codec.encode(text) for request in requests for text in request.texts]
    prefixes = [codec.encode(request.prefix) for request in requests]
    suffix_tokens = sum(len(codec.encode(suffix)) for suffix in requests[0].suffixes)
    unique = (sum(map(len, prefixes)) + len(requests) * suffix_tokens) / args.pairs
    batches = [texts[i : i + 8] for i in range(0, len(texts), 8)]
    # Every so many-th batch: a sample of all lengths.
    sample = batches[:: max(1, len(batches) // args.sample)][: args.sample]
    share = sum(map(len, sample)) / len(texts)
    with torch.inference_mode():
        warm = torch.tensor([texts[0]], device=args.device)
        model.model(input_ids=warm, use_cache=False)
        chooser.choose(requests[:2], CHOICES)
        took = seconds(
            lambda: [
                model.model(input_ids=torch.tensor([ids], device=args.device), use_cache=False) for ids in prefixes
            ]
        )
        limit = sum(map(len, prefixes)) / took / unique
        ours: list[list[tuple[float, float]]] = []
        rates = {OURS: args.pairs / seconds(lambda: ours.extend(chooser.choose(requests, CHOICES)))}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        deviation = 0.0
        if slow:
            plain: list[torch.Tensor] = []
            rates[PADDED] = (
                args.pairs * share / seconds(lambda: plain.extend(padded(model, batch, None, 1) for batch in sample))
            )
            rates["reference style: padded to 1536, all logits"] = (
                args.pairs
                * share
                / seconds(lambda: [padded(model, batch, 1536, 0) for batch in sample[:2]])
                * len(sample[:2])
                / len(sample)
            )
            ids = [codec.encode(choice)[0] for choice in CHOICES]
            flat = [pair for rows in ours for pair in rows]
            step = max(1, len(batches) // args.sample)
            begins = list(range(0, len(batches), step))[: args.sample]
            picked = [pair for i in begins for pair in flat[i * 8 : i * 8 + 8]]
            deviation = (torch.tensor(picked) - torch.cat(plain)[:, ids].cpu()).abs().max().item()
    return Measured(unique, sum(map(len, texts)) / args.pairs, limit, rates, deviation, peak)


def side_by_side(args: argparse.Namespace) -> int:
    """All ways on the same pairs."""
    found = measure(args, slow=True)
    print(f"{args.dtype}, {args.device}, {torch.get_num_threads()} threads; {args.pairs} pairs,")
    print(f"{args.principles} principles, 2 orders; {found.unique:.0f} unique tokens a pair, {found.total:.0f} in all")
    print(
        f"limit {found.limit:.3f} pairs/s; largest deviation of ours from plain logits {found.deviation:.1e};", end=" "
    )
    print(f"{found.peak:.0f} MiB after ours\n")
    print(f"{'':52}{'pairs/s':>9}{'ratio':>8}{'of limit':>10}")
    for name, rate in sorted(found.rates.items(), key=lambda item: item[1]):
        print(f"{name:52}{rate:9.3f}{rate / found.rates[PADDED]:8.2f}{rate / found.limit:10.0%}")
    return 0


def growth(args: argparse.Namespace) -> int:
    """Ours alone, by size; 1 where a pair's cost grows faster than its unique tokens."""
    series = {
        "principles": [(count, {"principles": count}) for count in (11, 44, 110)],
        "tokens of a pair's texts": [(tokens, {"tokens": tokens}) for tokens in (256, 512, 1024, 2048)],
    }
    good = True
    for what, sizes in series.items():
        print(f"{what:26}{'unique tokens':>15}{'pairs/s':>10}{'of limit':>10}{'MiB':>8}")
        first: Measured | None = None
        for size, changed in sizes:
            found = measure(argparse.Namespace(**{**vars(args), **changed}), slow=False)
            print(f"{size:<26}{found.unique:15.0f}{found.rates[OURS]:10.3f}", end="")
            print(f"{found.rates[OURS] / found.limit:10.0%}{found.peak:8.0f}", flush=True)
            first = first or found
            cost, tokens = first.rates[OURS] / found.rates[OURS], found.unique / first.unique
            good &= cost <= 1.1 * tokens
        print()
    print(f"a pair's cost grows no faster than its unique tokens, but for a tenth: {'holds' if good else 'FAILS'}")
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
    parser.add_argument("--growth", action="store_true", help="by the number of principles, and by length")
    args = parser.parse_args()
    return growth(args) if args.growth else side_by_side(args)


if __name__ == "__main__":
    sys.exit(main())
