"""What several tests of the core need."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # of a shell's background; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
from core_fixtures import cli, finished_world, quick  # noqa: F401  (fixtures)


@pytest.fixture
def world(
    finished_world: Path,  # noqa: F811
    tmp_path: Path,
) -> Path:
    """A copy of the finished folder, to change things in; the working directory of `cli`."""
    shutil.copytree(finished_world, tmp_path, dirs_exist_ok=True)
    return tmp_path
