"""Fixtures on the world of `core_world`, for the conftests of several folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from core_world import Cli, Result, make_folder, salmon


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No child process before every run; the tests of the checks themselves say otherwise."""
    monkeypatch.setenv("SALMON_QUICK", "1")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """cli(*args) -> the command line, in this process, in the test's folder."""
    from salmon_core.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: Any) -> Result:
        done = CliRunner().invoke(main, [str(arg) for arg in args])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def finished_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole river has run once; do not write there."""
    folder = tmp_path_factory.mktemp("finished")
    make_folder(folder)
    done = salmon("run", "salmon.yaml", cwd=folder)
    assert done.code == 0, done.text
    return folder
