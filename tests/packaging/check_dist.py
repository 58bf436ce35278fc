"""What is in dist/, in an empty environment: installed, listed, and taken on a new user's walk.

    python tests/packaging/check_dist.py dist        # `make dist-check-index`

Our own distributions come from the files alone; what they need comes from the index, in constraints.txt's versions.
The standard library is all this needs. `make dist-check` takes the same walk with what `.venv` has.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: in seconds, until a server answers
READY = 60.0
#: what a user changes in the configuration to be rewarded by the bonus
BEFORE = "bonuses: [missing-stop]"
AFTER = "bonuses: [missing-stop, {name: my-words, weight: 2.0, wanted: 8}]"

_FROM_FILES = """
import importlib.metadata, json
found = {}
for each in importlib.metadata.distributions():
    name = each.metadata["Name"]
    if name.startswith("salmon-"):
        found[name] = json.loads(each.read_text("direct_url.json") or "{}").get("url", "the index")
print(json.dumps(found))
"""


def environment() -> dict[str, str]:
    """Of a user who knows nothing of this checkout."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return env | {"OMP_NUM_THREADS": "1"}


def done(argv: Sequence[str | Path], cwd: Path) -> str:
    """What a command prints; ends this program where it fails."""
    ended = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, env=environment())
    if ended.returncode:
        shown = " ".join(map(str, argv))[:300]
        raise AssertionError(f"{shown}: exit code {ended.returncode}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}")
    return ended.stdout


def salmon(python: Path, *argv: str | Path, cwd: Path) -> str:
    """What the command that a user types prints."""
    return done([python.with_name("salmon"), *argv], cwd)


@dataclass(frozen=True)
class Pages:
    """Those of a server that is there."""

    url: str
    token: str

    def read(self, path: str, *, part: bool = False) -> str:
        """A page as a program gets it; or the part of it that filters change."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"X-Part": "1"} if part else {})
        asked = urllib.request.Request(f"{self.url}{path}", headers=headers)
        with urllib.request.urlopen(asked, timeout=READY) as answer:
            return str(answer.read().decode())


@contextmanager
def viewing(python: Path, run: Path, folder: Path) -> Iterator[Pages]:
    """`salmon view` of a run, until the block ends."""
    ready = folder / "ready.json"
    argv = [python.with_name("salmon"), "view", run, "--no-browser", "--ready-file", ready]
    with (folder / "view.log").open("wb") as log:
        server = subprocess.Popen(argv, cwd=folder, env=environment(), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + READY
        while not ready.exists():
            assert server.poll() is None, (folder / "view.log").read_text()
            assert time.monotonic() < deadline, "the server is not ready"
            time.sleep(0.05)
        values = json.loads(ready.read_text())
        yield Pages(values["url"], values["token"])
    finally:
        server.terminate()
        server.wait(30)


def walk(
    python: Path,
    folder: Path,
    install: Sequence[str],
    run: Sequence[str],
    look: Callable[[Pages], None] = lambda pages: None,
) -> None:
    """A new user's: init, run, view; a bonus of their own, its test, its column on the pages that are still open.

    Args:
        python: of an environment with our distributions.
        folder: to work in, empty.
        install: arguments of pip for the new package.
        run: further arguments of `salmon run`.
        look: at the pages, when the bonus has its column.
    """
    salmon(python, "init", "first", cwd=folder)
    config = folder / "first" / "salmon.yaml"
    words = ["run", config.relative_to(folder), "--limit", "4", *run]
    salmon(python, *words, cwd=folder)
    made = folder / "runs" / "first-limit"
    with viewing(python, made, folder) as pages:
        overview = pages.read("/runs/0")
        assert "Did it work?" in overview
        assert 'id="chart-reward"' in overview, "no curve of the reward"
        assert "missing-stop" in columns(pages)
        salmon(python, "new", "bonus", "my-words", cwd=folder)
        own = folder / "salmon-my-words"
        done([python, "-m", "pip", "install", "-q", *install], own)
        done([python, "-m", "pytest", "-q", "-p", "no:cacheprovider"], own)
        text = config.read_text(encoding="utf-8")
        assert BEFORE in text
        config.write_text(text.replace(BEFORE, AFTER), encoding="utf-8")
        salmon(python, "check", "--quick", config.relative_to(folder), cwd=folder)
        salmon(python, *words, cwd=folder)
        logged(made)
        assert "my-words" in columns(pages)
        one = pages.read("/runs/0/rollouts/0/0")
        assert re.search(r">my-words</th><td[^>]*>[-+][\d.]+<", one), "a rollout does not say what the bonus gave"
        look(pages)
    shown = salmon(python, "report", made, cwd=folder)
    assert re.search(r"rewarded: .*my-words \(bonus\)", shown), shown[:500]


def columns(pages: Pages) -> list[str]:
    """Of the table of rollouts."""
    return re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', pages.read("/runs/0/rollouts", part=True))


def logged(run: Path) -> None:
    """The bonus stands in what training logs of its steps."""
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line["values"] for line in lines if line["event"] == "StepLogged" and line["stage"] == "train-policy"]
    assert steps, "no step was logged"
    given = [step["reward/my-words/mean"] for step in steps if "reward/my-words/mean" in step]
    assert given, f"the bonus has no column; there are {sorted(set().union(*steps))}"
    assert max(given) <= 0


def main(dist: Path) -> None:
    wheels = sorted(dist.glob("*.whl"))
    (core,) = (wheel for wheel in wheels if wheel.name.startswith("salmon_core-"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        print(f"installing {len(wheels)} wheels with all that they need", flush=True)
        constraints = ("-c", ROOT / "constraints.txt")
        done([python, "-m", "pip", "install", "-q", *constraints, *wheels, f"{core}[all]"], folder)
        done([python, "-m", "pip", "check"], folder)
        found = json.loads(done([python, "-c", _FROM_FILES], folder))
        assert len(found) == len(wheels), f"{sorted(found)} are installed, of {len(wheels)} wheels"
        assert all(url.startswith("file:") for url in found.values()), f"not all come from files: {found}"
        print("commands and plugins", flush=True)
        assert "Align a language model" in salmon(python, "--help", cwd=folder)
        listed = json.loads(salmon(python, "plugins", "--json", cwd=folder))
        broken = [item for item in listed["components"] if item["broken"]]
        assert [*listed["broken"], *broken] == []
        assert {item["distribution"] for item in listed["components"]} == set(found)
        print("init, run, view, new bonus, its test, run, its column, report", flush=True)
        walk(python, folder, [*map(str, constraints), "-e", ".[dev]"], [])
    print("ok")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
