"""Writes what `salmon plan` prints into the first lines of the examples for large models.

    python examples/write_plans.py

Each file's header names the command; what it prints before the first stage's processes goes between `# PLAN` and
`# PLAN END`. The README's table of sizes is made of these lines.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("salmon-8b.yaml", "salmon-8b-openrlhf.yaml", "salmon-70b.yaml", "salmon-70b-openrlhf.yaml")
START, END = "# PLAN\n", "# PLAN END\n"


README = HERE.parent / "README.md"
#: where the table of sizes goes in it
SIZES = re.compile(r"<!-- sizes -->\n.*?<!-- /sizes -->", re.S)
#: example -> model and machine, in words
WORDS = {
    "salmon-8b.yaml": ("8B, adapters", "TRL", "8 GPUs"),
    "salmon-8b-openrlhf.yaml": ("8B, all weights", "OpenRLHF", "8 GPUs"),
    "salmon-70b.yaml": ("70B in 4 bits, adapters", "TRL", "2 machines of 8 GPUs"),
    "salmon-70b-openrlhf.yaml": ("70B, all weights", "OpenRLHF", "2 machines of 8 GPUs"),
}
_TOTAL = re.compile(r"^#   (\S.*?)  +\d+(?: +\d+\.\d\d){7} *$", re.M)
_FITS = re.compile(r"^#   (\S+) fits GPUs of (\d+)", re.M)


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


def sizes() -> str:
    """The README's table, from what stands in the examples now."""
    lines = [
        "| policy | backend | planned for | largest process | every stage fits GPUs of | configuration |",
        "|---|---|---|---|---|---|",
    ]
    for name, (model, backend, machine) in WORDS.items():
        plan = written(name)
        stage, total = max(
            ((found[1], float(found[0].split()[-1])) for found in _TOTAL.finditer(plan)), key=lambda each: each[1]
        )
        smallest = max(int(found[2]) for found in _FITS.finditer(plan))
        link = f"[{name}](examples/{name})"
        lines.append(f"| {model} | {backend} | {machine} | {total} GiB ({stage}) | {smallest} GB or more | {link} |")
    return "\n".join(["<!-- sizes -->", *lines, "<!-- /sizes -->"])


if __name__ == "__main__":
    for each in NAMES:
        path = HERE / each
        before, _, rest = path.read_text().partition(START)
        path.write_text(f"{before}{START}{printed(each)}{END}{rest.partition(END)[2]}")
    README.write_text(SIZES.sub(lambda _: sizes(), README.read_text()))
