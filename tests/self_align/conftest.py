"""The example, run once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest
from self_align_world import run


@pytest.fixture(scope="session")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a finished run of the example, and what was printed."""
    folder = tmp_path_factory.mktemp("self-align")
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "minnow-self-align", done.stdout + done.stderr
