"""Makes folders with a small configuration on the plugin in `world/`, installs plugins, and runs the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

WORLD = Path(__file__).parent / "world" / "world.py"
SALMON = Path(sys.executable).parent / "salmon"

RULES = """\
name: rules
principles:
  - {name: short, text: The answer is short., negated: The answer is long., weight: 2}
  - {name: kind, text: The answer is kind., negated: The answer is harsh.}
"""


def document(**changes: Any) -> dict[str, Any]:
    """A configuration that works in a folder made by `make_folder`; `changes` replace whole sections."""
    plain: dict[str, Any] = {
        "run": {"name": "toy", "seed": 1},
        "plugins": ["world.py"],
        "policy": {"model": "./policy", "template": "toy"},
        "limits": {"prompt": 64, "completion": 128, "total": 512},
        "prompts": "prompts.jsonl",
        "held_out": 0.25,
        "sample": {"engine": "bytes", "max_new_tokens": 48, "shard_size": 4},
        "judge": {"judge": "toy-judge", "principles": "rules.yaml", "engine": "bytes", "shard_size": 4},
        "label": "toy-labels",
        "reward_model": {"backend": "toy"},
        "reward": {"principles": "rules.yaml", "show": 1, "engine": "bytes", "bonuses": [{"name": "letters"}]},
        "train": {"backend": "toy", "algorithm": "toy"},
        "evaluate": ["toy-count"],
    }
    return {**plain, **changes}


def prompt_lines(count: int = 12) -> str:
    return "".join(json.dumps({"id": f"p{i}", "prompt": f"Question number {i}?"}) + "\n" for i in range(count))


def make_folder(folder: Path, text: str | None = None, **changes: Any) -> Path:
    """Everything the configuration names; returns its path. `text` is written instead of `document(**changes)`."""
    (folder / "policy").mkdir(parents=True, exist_ok=True)
    (folder / "policy" / "config.json").write_text("{}")
    shutil.copy(WORLD, folder / "world.py")
    (folder / "rules.yaml").write_text(RULES)
    (folder / "prompts.jsonl").write_text(prompt_lines())
    config = folder / "salmon.yaml"
    config.write_text(yaml.safe_dump(document(**changes), sort_keys=False) if text is None else text)
    return config


def environment(*paths: Path, **more: str) -> dict[str, str]:
    """Of a subprocess; `paths` come to the front of its PYTHONPATH."""
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200", "SALMON_QUICK": "1"}
    known = [*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(known), **more}


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


Cli = Callable[..., Result]
"""The command line in the test's own process; the fixture `cli`."""


def salmon(*args: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 120) -> Result:
    """The installed command, as a user runs it."""
    done = subprocess.run(
        [str(SALMON), *map(str, args)], cwd=cwd, env=env or environment(), capture_output=True, text=True,
        timeout=timeout,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


def install(folder: Path, distribution: str, source: str, *, version: str = "1.0", entry: str | None = None) -> None:
    """Puts a distribution of one module into a folder, as pip leaves it there."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[salmon]\n{entry or module} = {module}\n")


def clear(text: str) -> None:
    """What bad input is answered with has no stack trace, and fits a screen."""
    assert "Traceback" not in text
    assert 'File "' not in text
    assert len(text) < 4000
