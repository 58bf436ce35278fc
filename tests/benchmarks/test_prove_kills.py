"""`make prove-kills` works: one kill and one damage, and what it counts as a failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_kill_and_a_damage(tmp_path: Path) -> None:
    asked = ["kill trl sample tree KILL", "damage sample/part-N.parquet truncate"]
    argv = [sys.executable, str(ROOT / "benchmarks" / "prove_kills.py"), "--folder", str(tmp_path)]
    argv += ["--until", "sample", "--quick", "--only", *asked]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 kills: 1 equal; 1 of 1 damages: 1 equal" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == set(asked)


def test_every_stage_and_every_way_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from prove_kills_kill import SIGNALS, WHOM, kills
    from prove_kills_world import STAGES, TRAINING

    found = kills()
    assert len({kill.name for kill in found}) == len(found) == 66
    assert {kill.stage for kill in found if kill.backend == "trl"} == set(STAGES)
    assert {kill.stage for kill in found if kill.backend == "openrlhf"} == set(TRAINING)
    ways = {(whom, name) for whom in WHOM for name in SIGNALS}
    for backend in ("trl", "openrlhf"):
        assert {(kill.whom, kill.signal) for kill in found if kill.backend == backend} == ways


def test_a_difference_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from prove_kills_compare import different

    for name in ("one", "two"):
        stage = tmp_path / name / "label"
        stage.mkdir(parents=True)
        (stage / "statistics.json").write_text("{}")
        (stage / "preferences.parquet").write_text(name)
        (tmp_path / name / "report.json").write_text(json.dumps({"seconds": name, "steps": 3}))
    one, two = tmp_path / "one", tmp_path / "two"
    assert different(one, two) == ["label/preferences.parquet is different"]
    (two / "label" / "statistics.json").unlink()
    (two / "report.json").write_text('{"steps": 4}')
    assert different(one, two) == [
        "label/preferences.parquet is different",
        "label/statistics.json is missing",
        "report.json is different at steps",
    ]
