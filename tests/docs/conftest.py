"""The example, as it is and with its run, which is made once for all tests of the documentation."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from doc_pages import EXAMPLE, ROOT, blocks_of, copy_example, environment, follow


@pytest.fixture(scope="session")
def finished_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example's README was followed; do not write there."""
    base = tmp_path_factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "example"  # for all these processes
    made.mkdir(exist_ok=True)
    folder, finished = made / "own-model", made / "finished"
    with (made / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            shutil.rmtree(folder, ignore_errors=True)
            follow(EXAMPLE / "README.md", copy_example(folder), environment())
            finished.touch()
    return folder


@pytest.fixture(scope="session")
def workspace(finished_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished example with the files that the pages write; where their commands run."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(finished_example, folder, dirs_exist_ok=True)
    return _with_files(folder)


@pytest.fixture(scope="session")
def unrun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its model, and without a run."""
    folder = copy_example(tmp_path_factory.mktemp("unrun") / "own-model")
    subprocess.run([sys.executable, "make_model.py"], cwd=folder, env=environment(), check=True, capture_output=True)
    return _with_files(folder)


def _with_files(folder: Path) -> Path:
    for page in ("README.md", "docs/principles.md", "docs/bonuses.md", "docs/data.md"):
        for block in blocks_of(ROOT / page):
            if block.file is not None:
                (folder / block.file).write_text(block.text, encoding="utf-8")
    text = (folder / "salmon.yaml").read_text(encoding="utf-8")
    (folder / "with-plugin.yaml").write_text("plugins: [calm.py]\n" + text, encoding="utf-8")
    return folder
