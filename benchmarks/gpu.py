"""All that is worth measuring on one GPU, in one call of at most `--minutes` minutes: results as they come.

    python benchmarks/gpu.py                                 # about 1 B random weights, bfloat16
    python benchmarks/gpu.py --device cpu --quick            # tiny ones, anywhere

In turn: judging beside the limit of the forward passes and beside padding, with the deviation from plain logits in
float32 and in bfloat16; sampling beside `generate`; PPO with models of their own and with one base. Each part gets what
is left of the time; a part that does not end in it is cut off, and what it printed stands. Parts are the benchmarks of
the same names, whose own options say more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Part:
    """A benchmark with its arguments."""

    title: str
    script: str
    arguments: tuple[str, ...]


def parts(device: str, quick: bool) -> list[Part]:
    """What is measured, the most telling first."""
    size = ("--hidden", "128", "--layers", "2") if quick else ("--hidden", "2048", "--layers", "18")
    judge = ("--device", device, *size, *(("--pairs", "2", "--principles", "3") if quick else ("--pairs", "32")))
    sample = ("--prompts", "6", "--batch", "4", "--new", "12", "--mean", "6", "--repeats", "1")
    sample = sample if quick else ("--prompts", "512", "--batch", "128", "--repeats", "2")
    low = "float32" if device == "cpu" else "bfloat16"
    found = [
        Part(f"judging, {low}", "judging.py", (*judge, "--dtype", low)),
        Part(f"sampling, {low}", "sampling.py", ("--device", device, *size, *sample, "--dtype", low)),
        Part("PPO", "gpu_ppo.py", ("--device", device, *(("--quick",) if quick else ()))),
    ]
    if device != "cpu":
        found.append(Part("judging, float32: parity", "judging.py", (*judge, "--dtype", "float32")))
    return found


def main() -> int:
    """Measures; exit code 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny models")
    parser.add_argument("--minutes", type=float, default=8.0)
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    failed = 0
    for part in parts(args.device, args.quick):
        left = end - time.monotonic()
        if left < 5:
            print(f"== {part.title}: no time left", flush=True)
            continue
        print(f"== {part.title}: {part.script} {' '.join(part.arguments)}", flush=True)
        start = time.monotonic()
        try:
            done = subprocess.run([sys.executable, str(HERE / part.script), *part.arguments], timeout=left)
        except subprocess.TimeoutExpired:
            print(f"== {part.title}: cut off after {time.monotonic() - start:.0f} s", flush=True)
            continue
        failed += done.returncode != 0
        print(f"== {part.title}: exit code {done.returncode}, {time.monotonic() - start:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
