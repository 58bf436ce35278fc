"""Peak memory of PPO with four models of their own, against one base model with adapters.

    python benchmarks/memory.py                        # about 50 M parameters, float32
    python benchmarks/memory.py --device cuda          # also the GPU's peak
    python benchmarks/memory.py --quick                # does it run

Four models: policy and value model fine-tuned whole, reference and reward model frozen. One: `sharing: adapters`, all
four roles on one base. Both are whole `train-policy` stages, each in a process of its own; counted is the highest
resident memory minus what the process held after its imports. Batches are small and texts short, so that weights,
gradients and optimizer states dominate, as they do with models of a useful size.
"""

from __future__ import annotations

import argparse
import json
import tempfile

from rl_world import child, import_all, memory, prepare, train

LIMIT = 0.40


def measure(job: str) -> None:
    """In the child."""
    import torch

    import_all()
    before = memory("VmRSS")
    train(job)
    gpu = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    print(json.dumps({"imports": before, "peak": memory("VmHWM"), "gpu": gpu}))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--rank", type=int, default=64, help="of every adapter")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=16, help="longest completion")
    parser.add_argument("--updates", type=int, default=3, help="generated batches")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="tiny models")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure)
    if args.quick:
        args.hidden, args.layers, args.rank, args.updates = 64, 1, 4, 1
    base = {
        "per_device_train_batch_size": args.batch,
        "total_batch_size": args.batch,
        "generation_batch_size": args.batch,
        "num_iterations": 2,
        "max_completion_length": args.tokens,
        "max_steps": 2 * args.updates,
        "save_steps": 2 * args.updates,
        "bf16": False,
    }
    adapters = {"lora": {"r": args.rank}, "sharing": "adapters"}
    found = {}
    for name, options in (("four models", base), ("one base, adapters", base | adapters)):
        with tempfile.TemporaryDirectory() as folder:
            world = {
                "job": {"device": args.device, "dtype": "float32", "bonuses": ["missing-stop"]},
                "hidden": args.hidden,
                "layers": args.layers,
                "prompts": args.batch * args.updates,
                "prompt_words": 10,
                "rank": args.rank if "lora" in options else None,
            }
            size, job = prepare(folder, options, **world)
            found[name] = child(__file__, "--measure", job)
    first, second = found.values()
    print(f"{size:.1f} M parameters each, float32, {args.device}; adapters of rank {args.rank}; batches of")
    print(f"{args.batch}, {args.tokens} tokens a completion, {args.updates} updates of 2 optimizer steps, AdamW\n")
    print(f"{'MiB':22}{'imports':>9}{'peak':>9}{'own':>9}{'GPU peak':>10}")
    for name, own in found.items():
        cells = f"{own['imports']:9.0f}{own['peak']:9.0f}{own['peak'] - own['imports']:9.0f}{own['gpu']:10.0f}"
        print(f"{name:22}{cells}")
    ratios = {"own memory": (second["peak"] - second["imports"]) / (first["peak"] - first["imports"])}
    if first["gpu"]:
        ratios = {"GPU memory": second["gpu"] / first["gpu"]}
    if args.quick:
        print("\ntiny models: what is not weights decides, and the ratio means nothing")
    for text, ratio in ratios.items():
        print(f"\n{text}, adapters / four models: <= {LIMIT:.2f}   {ratio:.2f}   {_verdict(ratio)}")


def _verdict(ratio: float) -> str:
    return "holds" if ratio <= LIMIT else "FAILS"


if __name__ == "__main__":
    main()
