"""One real run that all tests here share."""

from __future__ import annotations

from pathlib import Path

import pytest
from core_world import salmon
from sharing_world import make_world


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
