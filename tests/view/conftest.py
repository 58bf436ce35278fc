"""A finished run that all tests here share, with texts that nobody should trust, and servers on it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core")]

import pytest  # noqa: E402
from core_world import SALMON, environment, make_folder, salmon  # noqa: E402
from view_world import Viewer, add_rollouts  # noqa: E402

REWARD = {"principles": "rules.yaml", "show": 2, "engine": "bytes", "bonuses": ["letters"]}


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the toy world, with hostile rollouts among its own; do not write there."""
    folder = tmp_path_factory.mktemp("seen")
    make_folder(folder, reward=REWARD)
    done = salmon("run", "salmon.yaml", cwd=folder, timeout=600)
    assert done.code == 0, done.text
    add_rollouts(folder / "runs" / "toy")
    return folder / "runs" / "toy"


@pytest.fixture(scope="session")
def viewer(seen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    """`salmon view` of it, in a process of its own."""
    with Viewer([seen], tmp_path_factory.mktemp("viewer")) as started:
        yield started


@pytest.fixture
def living(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Starts a run whose trainer hangs, and waits until it trains its policy; returns the run's folder."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> Path:
        train = {"backend": "toy", "algorithm": "toy", "options": {"fail": "hang", "rollouts": 2}}
        config = make_folder(tmp_path / "live", reward=REWARD, train=train)
        run = config.parent / "runs" / "toy"
        with (tmp_path / "run.log").open("wb") as log:
            argv = [str(SALMON), "run", str(config)]
            started.append(subprocess.Popen(argv, cwd=config.parent, env=environment(), stdout=log, stderr=log))
        deadline = time.monotonic() + 120
        while not (run / "train-policy" / "rollouts" / "part-000001-0.parquet").exists():
            assert started[-1].poll() is None, (tmp_path / "run.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return run

    yield start
    for process in started:
        process.terminate()
        process.wait(60)
