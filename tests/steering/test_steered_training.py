"""PPO of backend `trl` steered from another process while it goes on: killed twice, on two processes, and replayed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
import trl_world as world

from salmon_core.api import Job
from salmon_core.data.interventions import RECORD, Intervention, last_begun, locked, read_record

pytestmark = pytest.mark.slow
BATCHES = 10


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A policy, and a reward model."""
    base = tmp_path_factory.mktemp("models")
    policy = ppo.make_policy(base / "policy")
    return policy, ppo.make_scorer(base / "scorer", policy)


def make(run: Path, models: tuple[Path, Path], processes: int = 1) -> Job:
    options = {"per_device_train_batch_size": 8 // processes, "save_steps": 4, "max_steps": 2 * BATCHES}
    job = ppo.ppo_job(run / "train-policy", *models, rows=8 * BATCHES, options=options, processes=processes)
    assert job.reward is not None
    return replace(job, reward=replace(job.reward, record=str(run / RECORD)))


def steer(run: Path, **values: Any) -> int:
    """As `salmon steer` does after its checks; returns the first batch that it counts for."""
    with locked(run) as opened:
        number, start = len(opened.read()) + 1, opened.last + 1
        opened.append(Intervention(id=number, time="2026-01-01", who="me", from_rollout=start, **values))
    return start


@contextmanager
def going(job: Job) -> Iterator[subprocess.Popen[str]]:
    process = world.start(job)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], run: Path, batch: int) -> None:
    deadline = time.monotonic() + 300
    while last_begun(run) < batch:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def same(one: Job, two: Job) -> None:
    """Rollouts with their rewards, what counted for them, and the policy."""
    a, b = Path(one.folder), Path(two.folder)
    rows = world.rollouts(a)
    assert len(rows) == 8 * BATCHES
    assert len({(row["rollout_index"], row["row"]) for row in rows}) == len(rows)
    assert rows == world.rollouts(b)
    first, second = world.weights(a / "model"), world.weights(b / "model")
    assert all(torch.equal(first[name], second[name]) for name in first)


def replayed(job: Job, models: tuple[Path, Path], run: Path, processes: int = 1) -> Job:
    """Another run with the same record, which nobody disturbs."""
    again = make(run, models, processes)
    shutil.copy(Path(job.folder).parent / RECORD, run / RECORD)
    world.run(again)
    return again


def test_killed_twice_and_replayed(models: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "live"
    job = make(run, models)
    with going(job) as process:
        wait_for(process, run, 1)
        added = steer(run, what="principle", name="added", text="The answer is red.")
        wait_for(process, run, 4)
    begun = last_begun(run)
    dead = steer(run, what="bonus", name="words", value=-3.0)
    assert dead == begun + 1
    with going(job) as process:
        wait_for(process, run, dead + 1)
        undone = steer(run, what="undo", undoes=1)
    world.run(job)
    assert world.metrics(Path(job.folder))["resumed_from"] > 0
    counted = {row["rollout_index"]: row["interventions"] for row in world.rollouts(Path(job.folder))}
    for batch, ids in counted.items():
        wanted = [1] * (added <= batch < undone) + [2] * (batch >= dead)
        assert ids == wanted, batch
    rows = world.rollouts(Path(job.folder))
    assert all(row["kl"] is not None and row["step"] == 2 * row["rollout_index"] for row in rows)
    assert any(abs(row["kl"]) > 0 for row in rows if row["rollout_index"])
    assert {p["name"] for row in rows for p in row["principles"]} >= {"added"}
    again = replayed(job, models, tmp_path / "again")
    same(job, again)
    assert len(read_record(tmp_path / "again" / RECORD)) == 3


def test_two_processes_agree(models: tuple[Path, Path], tmp_path: Path) -> None:
    run = tmp_path / "live"
    job = make(run, models, processes=2)
    with going(job) as process:
        wait_for(process, run, 1)
        added = steer(run, what="principle", name="added", text="The answer is red.")
        wait_for(process, run, added + 1)
        steer(run, what="weight", name="added", value=0.0)
        _, output = process.communicate(timeout=300)
        assert process.returncode == 0, output
    by_batch: dict[int, set[tuple[int, ...]]] = {}
    for row in world.rollouts(Path(job.folder)):
        by_batch.setdefault(row["rollout_index"], set()).add(tuple(row["interventions"]))
    assert all(len(found) == 1 for found in by_batch.values())  # both ranks
    assert by_batch[added] == {(1,)}
    assert by_batch[BATCHES - 1] == {(1, 2)}
    same(job, replayed(job, models, tmp_path / "again", processes=2))
