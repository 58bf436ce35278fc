"""A run that trains its policy for as long as a test wants: the trainer of the toy world hangs, the test rewards."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), *(str(HERE.parent / name) for name in ("core", "serve", "trl", "docs"))]

import pytest  # noqa: E402
from core_world import SALMON, environment, make_folder  # noqa: E402

Living = Callable[..., Path]


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Living]:
    """Starts a run and waits until it trains its policy; returns the run's folder. `reward` replaces the section."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str = "toy", **reward: object) -> Path:
        section = {"principles": "rules.yaml", "show": 1, "engine": "bytes", "bonuses": ["letters"], **reward}
        options = {"fail": "hang", "rollouts": 0}
        train = {"backend": "toy", "algorithm": "toy", "options": options}
        config = make_folder(tmp_path / "live", run={"name": name, "seed": 1}, reward=section, train=train)
        run = config.parent / "runs" / name
        with (tmp_path / "run.log").open("wb") as log:
            argv = [str(SALMON), "run", str(config)]
            started.append(subprocess.Popen(argv, cwd=config.parent, env=environment(), stdout=log, stderr=log))
        deadline = time.monotonic() + 120
        while not (run / "train-policy" / "steps.jsonl").exists():
            assert started[-1].poll() is None, (tmp_path / "run.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return run

    yield start
    for process in started:
        process.terminate()
        process.wait(60)
