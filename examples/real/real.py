"""A real language model through every stage: `make real`, which makes the model first.

    python real.py [--threads 2]

First the model is its own judge. It cannot judge, and the run has to end at the stage `verdict`, before a reward model
is trained on noise. Then the same river with a judge that knows the truth (`symbolic.py`), whose configuration says
what is expected of it. Exit code 1 where either is otherwise.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def salmon_run(configuration: str, threads: int) -> int:
    """Its exit code."""
    command = [sys.executable, "-m", "salmon_core", "run", configuration]
    return subprocess.run(command, cwd=HERE, env={**os.environ, "OMP_NUM_THREADS": str(threads)}).returncode


def main() -> int:
    """Runs both, and says what held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    threads = parser.parse_args().threads
    code = salmon_run("self-judge.yaml", threads)
    folder = HERE / "runs" / "real-self-judge"
    found_out = code != 0 and (folder / "verdict" / "verdict.json").exists() and not (folder / "train-rm").exists()
    print(
        f"{'holds' if found_out else 'FAILS'}  as its own judge it was found out, before a reward model\n", flush=True
    )
    return 0 if salmon_run("salmon.yaml", threads) == 0 and found_out else 1


if __name__ == "__main__":
    sys.exit(main())
