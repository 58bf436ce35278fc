"""A finished run of the toy world of `tests/core`, with the bundled evaluators."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core")]

import pytest  # noqa: E402
from core_world import environment, make_folder, salmon  # noqa: E402
from evaluated import EVALUATE, Finished  # noqa: E402


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Judge and reward model of this world count a letter, so what evaluators have to find is known."""
    folder = tmp_path_factory.mktemp("evaluated")
    make_folder(folder, evaluate=EVALUATE)
    done = salmon("run", "salmon.yaml", cwd=folder, env=environment(BYTES_LOG=str(folder / "models.log")))
    assert done.code == 0, done.text
    opened: dict[str, list[str]] = {}
    for line in (folder / "models.log").read_text().splitlines():
        process, _, what = line.partition(" ")
        opened.setdefault(process, []).append(what)
    return Finished(folder, done.out, opened)
