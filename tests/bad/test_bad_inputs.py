"""Every case of bad input: one message with its place and what to do, exit code 1 or 2, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from bad_case import Bad, clear
from bad_configs import CONFIGS
from bad_data import DATA
from bad_disks import DISKS
from bad_models import MODELS
from bad_plugins import PLUGINS
from bad_principles import PRINCIPLES
from bad_runs import RUNS
from core_world import Result

CASES = {
    f"{kind}: {bad.name}": bad
    for kind, cases in {
        "configuration": CONFIGS,
        "principles": PRINCIPLES,
        "data": DATA,
        "model": MODELS,
        "plugin": PLUGINS,
        "disk": DISKS,
        "run": RUNS,
    }.items()
    for bad in cases
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(
    name: str, tmp_path: Path, make: Callable[[Bad, Path], None], told: Callable[[Bad, Path], Result]
) -> None:
    bad, folder = CASES[name], tmp_path / "here"
    folder.mkdir()
    make(bad, folder)
    clear(told(bad, folder), bad, folder)


def test_there_are_150() -> None:
    assert len(CASES) >= 150
    assert {bad.code for bad in CASES.values()} == {1, 2}
    assert all(bad.says for bad in CASES.values())
