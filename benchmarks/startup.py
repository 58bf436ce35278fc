"""How long `salmon --help` takes as a whole process, beside a bare interpreter: python benchmarks/startup.py [RUNS]

The two are run in turns, so that whatever else the machine does meets both. Differences and ratios are taken between
neighbours, since on a busy machine they vary less than the times.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import click'": [sys.executable, "-c", "import click"],
    "salmon --help": [str(BIN / "salmon"), "--help"],
    "salmon run --help": [str(BIN / "salmon"), "run", "--help"],
    "salmon plugins": [str(BIN / "salmon"), "plugins"],
}
BARE = "python -c pass"


def seconds(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main(runs: int) -> None:
    """Prints a table, and one line of JSON."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for argv in COMMANDS.values():  # caches filled, modules compiled
        seconds(argv)
    for _ in range(runs):
        for name, argv in COMMANDS.items():
            times[name].append(seconds(argv))
    result = {}
    print(f"{'median of ' + str(runs):28} {'s':>7} {'more':>7} {'ratio':>7} {'fastest':>8}")
    for name, own in times.items():
        pairs = list(zip(own, times[BARE], strict=True))
        result[name] = {
            "median": statistics.median(own),
            "more": statistics.median(a - b for a, b in pairs),
            "ratio": statistics.median(a / b for a, b in pairs),
            "fastest": min(own),
        }
        values = result[name]
        print(
            f"{name:28} {values['median']:7.3f} {values['more']:7.3f} {values['ratio']:7.1f} {values['fastest']:8.3f}"
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
