"""A finished run of the toy world of `tests/core`, with the bundled evaluators."""

from __future__ import annotations

import pytest
from core_world import environment, make_folder, salmon
from evaluated import EVALUATE, Finished


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
