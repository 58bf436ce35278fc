"""Stages in a row are one process: what it opens, how it ends; nothing else changes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from core_world import SALMON, document, environment, make_folder, salmon

DATA = ("sample/*.parquet", "judge/*.parquet", "verdict/verdict.json")


def data(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for pattern in DATA for path in sorted(run.glob(pattern))}


def opened(log: Path) -> list[list[str]]:
    """Each line that models wrote: process, what, path."""
    return [line.split(maxsplit=2) for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Of a run that asks each stage in a process of its own, since each is another command."""
    folder = tmp_path_factory.mktemp("apart")
    make_folder(folder)
    for until in ("sample", "judge", "verdict"):
        done = salmon("run", "salmon.yaml", "--until", until, cwd=folder)
        assert done.code == 0, done.text
    return data(folder / "runs" / "toy")


def test_a_policy_that_judges_itself_is_loaded_once(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    make_folder(tmp_path)
    log = tmp_path / "models.txt"
    env = environment(BYTES_LOG=str(log))
    done = salmon("run", "salmon.yaml", "--until", "label", cwd=tmp_path, env=env)
    assert done.code == 0, done.text
    lines = opened(log)
    assert [what for _, what, _ in lines] == ["open", "close"]
    assert len({pid for pid, _, _ in lines}) == 1
    run = tmp_path / "runs" / "toy"
    assert data(run) == undisturbed
    assert all((run / stage / "log.txt").exists() for stage in ("sample", "judge", "verdict"))


def test_another_model_or_engine_is_another_process(tmp_path: Path) -> None:
    judge = {**document()["judge"], "model": "./other"}
    make_folder(tmp_path, judge=judge)
    shutil.copytree(tmp_path / "policy", tmp_path / "other")
    log = tmp_path / "models.txt"
    env = environment(BYTES_LOG=str(log))
    done = salmon("run", "salmon.yaml", "--until", "verdict", cwd=tmp_path, env=env)
    assert done.code == 0, done.text
    lines = opened(log)
    assert [(what, Path(path).name) for _, what, path in lines] == [
        ("open", "policy"),
        ("close", "policy"),
        ("open", "other"),
        ("close", "other"),
    ]
    assert len({pid for pid, _, _ in lines}) == 2


@pytest.mark.parametrize("whom", ["worker", "run"])
def test_a_kill_in_a_stage_that_went_on(tmp_path: Path, undisturbed: dict[str, bytes], whom: str) -> None:
    """In the judge's stage, in the process that has sampled; the same command then makes the same files."""
    make_folder(tmp_path)
    log, command = tmp_path / "models.txt", ["run", "salmon.yaml", "--until", "verdict"]
    env = environment(BYTES_LOG=str(log), BYTES_CHOOSE="hang")
    process = subprocess.Popen([str(SALMON), *command], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not log.exists() or opened(log)[-1][1] != "choose":
        assert time.monotonic() < end
        time.sleep(0.02)
    worker = int(opened(log)[-1][0])
    os.kill(worker if whom == "worker" else process.pid, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    if whom == "worker":
        assert "judge: was ended by signal 9" in said
        assert "Traceback" not in said
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.02)
    again = salmon(*command, cwd=tmp_path)
    assert again.code == 0, again.text
    assert again.err.count("already done") == 2  # prompts, sample
    assert data(tmp_path / "runs" / "toy") == undisturbed


def test_a_failure_in_a_stage_that_went_on_is_that_stages(tmp_path: Path) -> None:
    make_folder(tmp_path)
    done = salmon("run", "salmon.yaml", cwd=tmp_path, env=environment(BYTES_CHOOSE="exit"))
    assert done.code == 1
    assert "choose: called sys.exit('no more')" in done.err
    run = tmp_path / "runs" / "toy"
    assert (run / "judge" / "error.json").exists()
    assert not (run / "sample" / "error.json").exists()
    assert "no more" in (run / "judge" / "log.txt").read_text()
