"""The command line on bad input, most of it in the test's own process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_case import Bad, Here, growing_to
from click.testing import CliRunner
from core_fixtures import finished_world  # noqa: F401  (a fixture)
from core_world import Result


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Callable[[Bad, Path], None]:
    """make(case, folder) puts in place what the case needs."""

    def made(bad: Bad, folder: Path) -> None:
        if bad.finished:
            shutil.copytree(request.getfixturevalue("finished_world"), folder, dirs_exist_ok=True)
            config = folder / "runs" / "toy" / "config.json"
            config.write_text(json.dumps({**json.loads(config.read_text()), "base": str(folder)}))
        bad.make(folder)

    return made


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[Bad, Path], Result]:
    """told(case, folder) -> the command line in this process, and in it what it starts of ours."""
    from salmon_core.check import apart
    from salmon_core.cli.main import main
    from salmon_core.run import processes

    monkeypatch.setattr(Here, "real", processes.Running, raising=False)
    monkeypatch.setattr(processes, "Running", Here)
    monkeypatch.setattr(apart, "Running", Here)

    def run(bad: Bad, folder: Path) -> Result:
        monkeypatch.chdir(folder)
        for name, value in {"COLUMNS": "200", "NO_COLOR": "1", "SALMON_QUICK": "1", **bad.env}.items():
            monkeypatch.setenv(name, value)
        with growing_to(bad.limit):
            done = CliRunner().invoke(main, bad.argv())
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)

    return run
