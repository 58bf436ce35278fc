"""PPO on a model of about 100 M parameters in bfloat16: four models of their own, and one base with adapters.

    python benchmarks/gpu_ppo.py                            # one GPU
    python benchmarks/gpu_ppo.py --device cpu --quick       # a tiny one, anywhere
    python benchmarks/gpu_ppo.py --vllm colocate            # sampled by vLLM; needs it beside TRL

Printed for each way: tokens generated per second of whole updates (sampling, reference, critic, reward, two passes of
training), the median time of an update, and peak memory. The first update is left out of the times.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from statistics import median
from typing import Any

from rl_world import BONUSES, child, import_all, memory, prepare, train


def measure(job: str) -> None:
    """In the child."""
    import torch

    import_all()
    from salmon_trl.reward_function import RewardFunction

    before, points = memory("VmRSS"), []
    whole = RewardFunction.__call__

    def score(self: Any, *, completion_ids: Any, **more: Any) -> list[float]:
        points.append((time.perf_counter(), sum(map(len, completion_ids))))
        return whole(self, completion_ids=completion_ids, **more)

    RewardFunction.__call__ = score  # type: ignore[method-assign, assignment]
    train(job)
    cuda = torch.cuda.is_available() and '"cpu"' not in job
    found = {
        "points": points,
        "memory": memory("VmHWM") - before,
        "gpu": torch.cuda.max_memory_allocated() / 2**20 if cuda else 0.0,
        "name": torch.cuda.get_device_name() if cuda else "CPU",
        "torch": torch.__version__,
    }
    print(json.dumps(found))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=13)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64, help="completions generated at once, and in a step")
    parser.add_argument("--device-batch", type=int, default=32, help="completions in one forward")
    parser.add_argument("--tokens", type=int, default=128, help="longest completion")
    parser.add_argument("--updates", type=int, default=8, help="generated batches")
    parser.add_argument("--vllm", choices=["colocate", "server"], help="sample with vLLM; server: one that is running")
    parser.add_argument("--quick", action="store_true", help="tiny models")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure)
    if args.quick:
        args.hidden, args.layers, args.rank, args.tokens, args.updates = 64, 1, 4, 8, 3
        args.batch = args.device_batch = 4
    base: dict[str, Any] = {
        "per_device_train_batch_size": args.device_batch,
        "total_batch_size": args.batch,
        "generation_batch_size": args.batch,
        "max_completion_length": args.tokens,
        "max_steps": 2 * args.updates,
        "save_steps": 2 * args.updates,
        "bf16": True,
    }
    if args.vllm:
        base |= {"use_vllm": True, "vllm_mode": args.vllm}
    adapters = {"lora": {"r": args.rank}, "sharing": "adapters"}
    found = {}
    for name, options in (("four models", base), ("one base, adapters", base | adapters)):
        with tempfile.TemporaryDirectory() as folder:
            world = {
                "job": {"device": args.device, "dtype": "auto", "bonuses": BONUSES},
                "hidden": args.hidden,
                "layers": args.layers,
                "prompts": args.batch * args.updates,
                "prompt_words": 30,
                "rank": args.rank if "lora" in options else None,
            }
            size, job = prepare(folder, options, **world)
            found[name] = child(__file__, "--measure", job)
    first = next(iter(found.values()))
    print(f"{size:.1f} M parameters, bfloat16, {first['name']}, torch {first['torch']}; weights that are trained whole")
    print(f"are kept in float32; {args.batch} completions of {args.tokens} tokens an update, {args.updates} updates\n")
    print(f"{'':22}{'tokens/s':>12}{'s/update':>12}{'GPU MiB':>12}{'host MiB':>12}")
    rates = []
    for name, own in found.items():
        points = own["points"][1:]
        elapsed = points[-1][0] - points[0][0]
        rates.append(sum(tokens for _, tokens in points[:-1]) / elapsed)
        update = median(after - before for (before, _), (after, _) in pairwise(points))
        print(f"{name:22}{rates[-1]:12.0f}{update:12.3f}{own['gpu']:12.0f}{own['memory']:12.0f}")
    which = "gpu" if first["gpu"] else "memory"
    sizes = [own[which] for own in found.values()]
    print(f"\nadapters / four models: tokens/s {rates[1] / rates[0]:.2f}, peak memory {sizes[1] / sizes[0]:.2f}")


if __name__ == "__main__":
    main()
