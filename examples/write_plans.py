"""Writes what `salmon plan` prints into the first lines of the examples for large models.

    python examples/write_plans.py

Each file's header names the command; what it prints before the first stage's processes goes between `# PLAN` and
`# PLAN END`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("salmon-8b.yaml", "salmon-8b-openrlhf.yaml", "salmon-70b.yaml", "salmon-70b-openrlhf.yaml")
START, END = "# PLAN\n", "# PLAN END\n"


def printed(name: str) -> str:
    """The numbers of an example, each line as a comment."""
    words = next(line.split() for line in (HERE / name).read_text().splitlines() if line.startswith("#   salmon plan "))
    argv = [sys.executable, "-m", "salmon_core", *words[2:]]
    done = subprocess.run(argv, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    numbers = done.stdout.partition("\nprompts:\n")[0]
    return "".join(f"# {line}".rstrip() + "\n" for line in numbers.splitlines())


def written(name: str) -> str:
    """What stands there now."""
    return (HERE / name).read_text().partition(START)[2].partition(END)[0]


if __name__ == "__main__":
    for each in NAMES:
        path = HERE / each
        before, _, rest = path.read_text().partition(START)
        path.write_text(f"{before}{START}{printed(each)}{END}{rest.partition(END)[2]}")
