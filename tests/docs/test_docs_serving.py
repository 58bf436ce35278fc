"""The page about serving, followed to the letter in a finished run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from doc_pages import ROOT, environment, follow


@pytest.mark.slow
def test_serving(finished_example: Path, tmp_path: Path) -> None:
    folder = tmp_path / "own-model"
    shutil.copytree(finished_example, folder)
    try:
        follow(ROOT / "docs" / "serving.md", folder, environment())
    finally:
        with contextlib.suppress(OSError, ValueError):
            os.kill(json.loads((folder / "server.json").read_text())["pid"], signal.SIGKILL)
    token_free = (folder / "server.log").read_text()
    assert token_free.count("\n") == 1
