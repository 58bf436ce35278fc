"""A run killed at any moment and started again ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import torch
import trl_world as world

from salmon_core.api import Job, Launch
from salmon_core.kit.training import describe_files
from salmon_trl import worker
from salmon_trl.backend import TRLBackend
from salmon_trl.checkpoints import last_complete, prepare_folder

#: what a clock wrote
TIMES = ("step_time", "eval_runtime")


def logged(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [(s, {k: v for k, v in values.items() if k not in TIMES}) for s, values in world.steps(folder)]


def same_weights(a: Path, b: Path) -> bool:
    one, two = world.weights(a), world.weights(b)
    return set(one) == set(two) and all(torch.equal(one[name], two[name]) for name in one)


def kill_after(job: Job, step: int) -> None:
    """Starts the worker and kills it soon after it logged that step, wherever it then is."""
    process = world.start(job)
    deadline = time.monotonic() + 120
    while not any(s >= step for s, _ in world.steps(Path(job.folder))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(random.random() * 0.05)
    process.kill()
    process.communicate()


def mark_complete(checkpoint: Path) -> None:
    """As a trainer marks it."""
    values = {"step": 4, "tokens": 0, "files": describe_files(checkpoint)}
    (checkpoint / "complete.json").write_text(json.dumps(values))


def make(stage: str, base: Path) -> Job:
    """A job in `base/stage`; the same but for the folder whatever the base."""
    common = base.parent
    policy = common / "policy"
    if not policy.exists():
        world.make_policy(policy)
    if stage == "train-rm":
        data = {"train": world.write(common / "rm.parquet", world.preferences(200, high=40))}
        options: dict[str, Any] = {
            "per_device_train_batch_size": 4,
            "total_batch_size": 8,
            "num_train_epochs": 2,  # the kill may come in either epoch
            "learning_rate": 1e-3,
            "save_steps": 4,
            "logging_steps": 1,
        }
        return world.job(stage, base / "stage", policy, data, options=options)
    if stage == "dpo":
        data = {"train": world.write(common / "pairs.parquet", world.policy_pairs(128))}
        options = {
            "per_device_train_batch_size": 4,
            "total_batch_size": 8,
            "num_train_epochs": 2,
            "learning_rate": 1e-3,
            "save_steps": 4,
            "logging_steps": 1,
        }
        return world.job("train-policy", base / "stage", policy, data, algorithm="dpo", options=options)
    data = {"train": world.write(common / "rl.parquet", world.rl_rows(48))}
    spec = world.reward_spec(world.write_bonus(common / "bonus.py"), None, policy)
    options = {
        "per_device_train_batch_size": 8,
        "total_batch_size": 8,
        "generation_batch_size": 16,
        "num_generations": 4,
        "num_iterations": 2,  # a window of four optimizer steps
        "max_completion_length": 24,
        "learning_rate": 1e-3,
        "beta": 0.05,
        "save_steps": 8,
        "log_rollouts_every": 1,
    }
    return world.job(stage, base / "stage", policy, data, reward=spec, options=options)


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "steps"), [("train-rm", 50), ("train-policy", 48), ("dpo", 32)])
def test_killed_and_started_again(stage: str, steps: int, tmp_path: Path) -> None:
    whole, broken = make(stage, tmp_path / "whole"), make(stage, tmp_path / "broken")
    world.run(whole)
    for step in sorted(random.sample(range(2, steps - 4), 2)):
        kill_after(broken, step)
    world.run(broken)
    a, b = Path(whole.folder), Path(broken.folder)
    assert world.metrics(b)["resumed_from"] > 0
    assert logged(a) == logged(b)
    assert [step for step, _ in logged(b)] == list(range(1, steps + 1))
    assert same_weights(a / "model", b / "model")
    if stage == "train-policy":
        assert world.rollouts(a) == world.rollouts(b)


@pytest.mark.parametrize("stage", ["train-rm", "train-policy", "dpo"])
def test_finished_run_is_not_trained_further(stage: str, tmp_path: Path) -> None:
    job = make(stage, tmp_path / "run")
    folder = Path(job.folder)
    job.options["max_steps"] = 8  # type: ignore[index]
    (folder / "job.json").write_text(job.to_json())
    assert worker.main([str(folder / "job.json")]) == 0
    shutil.copytree(folder / "model", tmp_path / "first")
    stamp = (folder / "model" / "model.safetensors").stat().st_mtime_ns
    assert worker.main([str(folder / "job.json")]) == 0  # finds its result
    assert (folder / "model" / "model.safetensors").stat().st_mtime_ns == stamp
    shutil.rmtree(folder / "model")  # as if killed just before the end
    lines = world.steps(folder)
    assert worker.main([str(folder / "job.json")]) == 0
    assert same_weights(tmp_path / "first", folder / "model")
    assert world.steps(folder) == lines
    TRLBackend().finish(job, folder)


def test_half_written_checkpoints_are_dropped(tmp_path: Path) -> None:
    job = make("train-rm", tmp_path / "run")
    folder = Path(job.folder)
    prepare_folder(job, folder)
    for step, complete in ((4, True), (8, False)):
        checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
        checkpoint.mkdir()
        (checkpoint / "trainer_state.json").write_text("{}")
        if complete:
            mark_complete(checkpoint)
    (folder / "steps.jsonl").write_text("".join(f'{{"step": {s}, "values": {{}}}}\n' for s in (2, 4, 6)) + '{"st')
    prepare_folder(job, folder)
    assert [path.name for path in (folder / "checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    assert [step for step, _ in world.steps(folder)] == [2, 4]
    assert (folder / "steps.jsonl").read_text().endswith("}\n")


def test_checkpoints_of_another_job_are_not_used(tmp_path: Path) -> None:
    job = make("train-rm", tmp_path / "run")
    folder = Path(job.folder)
    prepare_folder(job, folder)
    checkpoint = folder / "checkpoints" / "checkpoint-4"
    checkpoint.mkdir()
    mark_complete(checkpoint)
    prepare_folder(job, folder)
    assert last_complete(folder / "checkpoints") == checkpoint
    job.options["learning_rate"] = 0.5  # type: ignore[index]
    prepare_folder(job, folder)
    assert last_complete(folder / "checkpoints") is None


def test_rollouts_that_are_generated_again_are_dropped(tmp_path: Path) -> None:
    """Those of the batches after the checkpoint, of whatever process; a run goes on with fewer processes, too."""
    job = make("train-policy", tmp_path / "run")
    folder = Path(job.folder)
    prepare_folder(job, folder, 4)
    checkpoint = folder / "checkpoints" / "checkpoint-8"
    checkpoint.mkdir()
    mark_complete(checkpoint)
    (folder / "rollouts").mkdir()
    for index in range(4):
        for writer in range(2):
            (folder / "rollouts" / f"part-{index:06d}-{writer}.parquet").write_text("")
    prepare_folder(job, folder, 4)
    left = sorted(path.stem for path in (folder / "rollouts").iterdir())
    assert left == ["part-000000-0", "part-000000-1", "part-000001-0", "part-000001-1"]


@pytest.mark.slow
def test_two_processes_share_the_rows(tmp_path: Path) -> None:
    job = make("train-policy", tmp_path / "run")
    options = {**job.options, "per_device_train_batch_size": 4, "max_steps": 8}
    job = replace(job, options=options, launch=Launch(2))
    world.run(job)
    TRLBackend().finish(job, Path(job.folder))
    written = world.rollouts(Path(job.folder))
    assert Counter(line["rollout_index"] for line in written) == {0: 16, 1: 16}
    assert Counter(line["row"] for line in written) == dict.fromkeys(range(8), 4)
    assert world.metrics(Path(job.folder))["rollouts"] == 2
    assert [step for step, _ in world.steps(Path(job.folder))] == list(range(1, 9))


@pytest.mark.slow
def test_error_reaches_stderr_and_file(tmp_path: Path) -> None:
    job = make("train-rm", tmp_path / "run")
    job.options["extra"] = {"nonsense": 1}  # type: ignore[index]
    output = world.run(job, code=1)
    assert output.strip().splitlines()[-1].startswith("error: options.extra.nonsense")
    assert "Traceback" not in output
