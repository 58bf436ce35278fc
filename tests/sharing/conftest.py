"""One real run that all tests here share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core")]

import pytest  # noqa: E402
from core_world import salmon  # noqa: E402
from sharing_world import make_world  # noqa: E402


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and its finished run `runs/tiny`; do not write there."""
    folder = tmp_path_factory.mktemp("tiny")
    make_world(folder)
    done = salmon("run", "salmon.yaml", cwd=folder, timeout=1500)
    assert done.code == 0, done.text
    return folder


@pytest.fixture(scope="session")
def model(tiny: Path) -> Path:
    """The reward model's folder; do not write there."""
    return tiny / "runs" / "tiny" / "train-rm" / "model"
