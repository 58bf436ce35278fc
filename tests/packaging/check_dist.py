"""What is in dist/, in an empty environment: installed, listed, and taken through a new user's first commands.

    python tests/packaging/check_dist.py dist        # `make dist-check`

Our own distributions come from the files alone; what they need comes from the index, in constraints.txt's versions.
The standard library is all this needs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: the command that a user types
SALMON = ("-m", "salmon_core")

_FROM_FILES = """
import importlib.metadata, json
found = {}
for each in importlib.metadata.distributions():
    name = each.metadata["Name"]
    if name.startswith("salmon-"):
        found[name] = json.loads(each.read_text("direct_url.json") or "{}").get("url", "the index")
print(json.dumps(found))
"""


def python_(python: Path, *argv: str | Path, cwd: Path) -> str:
    """What `python` prints; ends this program where it fails."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run([python, *argv], cwd=cwd, capture_output=True, text=True, env=env | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        shown = " ".join(map(str, argv))[:300]
        raise AssertionError(f"{shown}: exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def walk(python: Path, folder: Path, install: Sequence[str], run: Sequence[str]) -> None:
    """init, check, new bonus, its test, a run that is rewarded by it, its column and the report.

    Args:
        install: arguments of pip for the new package.
        run: further arguments of `salmon run`.
    """
    python_(python, *SALMON, "init", "first", cwd=folder)
    python_(python, *SALMON, "check", "--quick", "first/salmon.yaml", cwd=folder)
    python_(python, *SALMON, "new", "bonus", "my-words", cwd=folder)
    python_(python, "-m", "pip", "install", "-q", *install, cwd=folder / "salmon-my-words")
    python_(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder / "salmon-my-words")
    bonuses = "reward.bonuses=[missing-stop, {name: my-words, weight: 2.0, wanted: 8}]"
    python_(python, *SALMON, "run", "first/salmon.yaml", "--limit", "4", "--set", bonuses, *run, cwd=folder)
    made = folder / "runs" / "first-limit"
    lines = [json.loads(line) for line in (made / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line["values"] for line in lines if line["event"] == "StepLogged" and line["stage"] == "train-policy"]
    assert steps, "no step was logged"
    assert all(step["reward/my-words/mean"] <= 0 for step in steps if "reward/my-words/mean" in step)
    assert any("reward/my-words/mean" in step for step in steps), (
        f"the bonus has no column; there are {sorted(steps[-1])}"
    )
    shown = python_(python, *SALMON, "report", made, cwd=folder)
    assert "first-limit" in shown


def main(dist: Path) -> None:
    wheels = sorted(dist.glob("*.whl"))
    (core,) = (wheel for wheel in wheels if wheel.name.startswith("salmon_core-"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        print(f"installing {len(wheels)} wheels with all that they need", flush=True)
        constraints = ("-c", ROOT / "constraints.txt")
        python_(python, "-m", "pip", "install", "-q", *constraints, *wheels, f"{core}[all]", cwd=folder)
        python_(python, "-m", "pip", "check", cwd=folder)
        found = json.loads(python_(python, "-c", _FROM_FILES, cwd=folder))
        assert len(found) == len(wheels), f"{sorted(found)} are installed, of {len(wheels)} wheels"
        assert all(url.startswith("file:") for url in found.values()), f"not all come from files: {found}"
        print("commands and plugins", flush=True)
        assert "Align a language model" in python_(python, *SALMON, "--help", cwd=folder)
        listed = json.loads(python_(python, *SALMON, "plugins", "--json", cwd=folder))
        broken = [item for item in listed["components"] if item["broken"]]
        assert [*listed["broken"], *broken] == []
        assert {item["distribution"] for item in listed["components"]} == set(found)
        print("init, check, new bonus, its test, run, report", flush=True)
        walk(python, folder, [*map(str, constraints), "-e", ".[dev]"], [])
    print("ok")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
