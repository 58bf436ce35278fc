"""The example's run, made once for all tests of the documentation."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from doc_pages import EXAMPLE, ROOT, blocks_of, copy_example, environment, follow


@pytest.fixture(scope="session")
def finished_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example's README was followed; do not write there."""
    folder = copy_example(tmp_path_factory.mktemp("example") / "own-model")
    follow(EXAMPLE / "README.md", folder, environment())
    return folder


@pytest.fixture(scope="session")
def workspace(finished_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished example with the files that the pages write; where their commands run."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(finished_example, folder, dirs_exist_ok=True)
    for page in ("README.md", "docs/principles.md", "docs/bonuses.md", "docs/data.md"):
        for block in blocks_of(ROOT / page):
            if block.file is not None:
                (folder / block.file).write_text(block.text, encoding="utf-8")
    text = (folder / "salmon.yaml").read_text(encoding="utf-8")
    (folder / "with-plugin.yaml").write_text("plugins: [calm.py]\n" + text, encoding="utf-8")
    return folder
