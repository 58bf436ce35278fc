"""How time and memory grow with the number of prompts, in the stages that salmon does itself.

    python benchmarks/growth.py                              # 1,000, 10,000 and 100,000 prompts
    python benchmarks/growth.py --prompts 1000 4000

The world of the tests stands in for models, since it costs nothing: a token is a byte, counting is the judge. So what
is measured is reading, rendering, checking, drawing and writing. Labels are those of `salmon`. Printed per stage:
seconds for each size, and the exponent by which they grow between the two largest (1 is linear); the memory of the
largest process, and how much of it a prompt takes: all stages but `prompts`, which has to know repeats, read from files
as they go.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "core"))
from core_world import make_folder, prompt_lines  # noqa: E402

STAGES = ("prompts", "sample", "judge", "verdict", "label")
#: by which the largest size may be slower than in proportion
EXPONENT = 1.15
#: KiB that a prompt may take in the largest process: what tells a repeated one, and a few numbers
EACH = 1.0
#: prompts that it takes to tell
ENOUGH = 50_000


def measure(count: int) -> dict[str, tuple[float, float]]:
    """-> by stage: seconds, and MiB of the largest process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = make_folder(
            folder,
            held_out=0.0,
            sample={"engine": "bytes", "max_new_tokens": 48, "shard_size": 1024},
            judge={
                "judge": "toy-judge",
                "principles": "rules.yaml",
                "engine": "bytes",
                "shard_size": 512,
                "on_weak": "warn",
            },
            label={"name": "salmon", "exclude": [], "rules": [], "min_characters": 1},
            evaluate=[],
        )
        (folder / "prompts.jsonl").write_text(prompt_lines(count))
        return {stage: _stage(stage, config, folder) for stage in STAGES}


def _stage(stage: str, config: Path, folder: Path) -> tuple[float, float]:
    """Runs up to a stage, those before it being finished."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    command = [sys.executable, "-m", "salmon_core", "run", str(config), "--until", stage]
    pid = os.posix_spawn(
        sys.executable,
        [*command, "--set", f"run.folder={folder / 'runs'}"],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
    )
    _, status, usage = os.wait4(pid, 0)
    os.close(log)
    if status != 0:
        raise SystemExit((folder / "log").read_text())
    manifest = json.loads((folder / "runs" / "toy" / stage / "manifest.json").read_text())
    return manifest["seconds"], usage.ru_maxrss / 1024


def main() -> int:
    """Measures and prints; exit code 1 where it grows faster."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=[1000, 10000, 100000])
    sizes = sorted(parser.parse_args().prompts)
    found = {}
    for size in sizes:
        found[size] = measure(size)
        print(f"{size:,} prompts: {sum(seconds for seconds, _ in found[size].values()):.1f} s", flush=True)
    before, last = sizes[-2:]
    print("\n" + f"{'seconds':10}" + "".join(f"{size:>12,}" for size in sizes) + f"{'exponent':>10}")
    good = flat = True
    for stage in STAGES:
        row = [found[size][stage][0] for size in sizes]
        exponent = math.log(row[-1] / row[-2]) / math.log(last / before)
        good &= exponent <= EXPONENT
        print(f"{stage:10}" + "".join(f"{value:12.1f}" for value in row) + f"{exponent:10.2f}")
    print("\n" + f"{'MiB':10}" + "".join(f"{size:>12,}" for size in sizes) + f"{'KiB each':>10}")
    for stage in STAGES:
        row = [found[size][stage][1] for size in sizes]
        each = 1024 * (row[-1] - row[-2]) / (last - before)
        flat &= each <= EACH
        print(f"{stage:10}" + "".join(f"{value:12.0f}" for value in row) + f"{each:10.2f}")
    print(f"\nfrom {before:,} to {last:,} prompts, exponents at most {EXPONENT}: {'holds' if good else 'FAILS'}")
    if last < ENOUGH:  # a process's own few MiB more or less would be all that is seen
        return 0 if good else 1
    print(f"a prompt takes at most {EACH:g} KiB of memory: {'holds' if flat else 'FAILS'}")
    return 0 if good and flat else 1


if __name__ == "__main__":
    sys.exit(main())
