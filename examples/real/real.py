"""A real language model through every stage: `make real`, which makes the model first.

    python real.py [--threads 2]

First the model is its own judge. It cannot judge, and the run has to end at the stage `verdict`, before a reward model
is trained on noise. Then the same river with a judge that knows the truth (`symbolic.py`): the reward model's accuracy
on held-out prompts, and what PPO changed. Exit code 1 where either is otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
#: what the run with the judge that knows has to reach: (what, path in report.json, least)
WANTED = (
    ("RM accuracy on held-out prompts", "rm.positive.value", 0.70),
    ("  low end of its interval", "rm.positive.low", 0.55),
)


def salmon(*arguments: str, threads: int) -> tuple[int, float, str]:
    """-> exit code, seconds, what it printed."""
    start = time.monotonic()
    command = [sys.executable, "-m", "salmon_core", *arguments]
    with subprocess.Popen(
        command,
        cwd=HERE,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, time.monotonic() - start, "".join(lines)


def at(report: dict[str, Any], path: str) -> Any:
    """A value of the report by its dotted path."""
    value: Any = report
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def main() -> int:
    """Runs both, and says what held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    threads = parser.parse_args().threads
    held: list[tuple[str, bool]] = []

    code, took, printed = salmon("run", "self-judge.yaml", threads=threads)
    trained = (HERE / "runs" / "real-self-judge" / "train-rm").exists()
    stopped = code != 0 and "verdict" in printed.rstrip().splitlines()[-1] and not trained
    held.append((f"its own judge: found out, and stopped before a reward model ({took:.0f} s)", stopped))

    code, took, _ = salmon("run", "salmon.yaml", threads=threads)
    held.append((f"a judge that knows: every stage ended ({took:.0f} s)", code == 0))
    if code == 0:
        report = json.loads((HERE / "runs" / "real" / "report.json").read_text())
        for what, path, least in WANTED:
            value = at(report, path)
            held.append((f"{what} {value:.3f}, at least {least}", value >= least))
        for target in report["targets"]:
            low, high = target["ci"]
            said = (
                f"{target['name']}: {target['before']:.2f} -> {target['after']:.2f}, change [{low:+.2f}, {high:+.2f}]"
            )
            held.append((f"{said}, above 0", low > 0))
    print()
    for what, holds in held:
        print(f"{'holds' if holds else 'FAILS'}  {what}")
    return 0 if all(holds for _, holds in held) else 1


if __name__ == "__main__":
    sys.exit(main())
