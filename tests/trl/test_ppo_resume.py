"""PPO killed at any moment and started again ends as if nothing had happened; the critic is there."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
import trl_world as world

from salmon_core.api import Job
from salmon_core.errors import ConfigError, StageError
from salmon_trl.backend import TRLBackend
from salmon_trl.checkpoints import step_of

#: what a clock wrote
TIMES = ("step_time",)
STEPS, WINDOW = 24, 4


def make(folder: Path, policy: Path, reward_model: Path | None, sharing: str) -> Job:
    options: dict[str, Any] = {"per_device_train_batch_size": 2, "total_batch_size": 4, "save_steps": WINDOW}
    if sharing == "adapters":
        options |= {"sharing": "adapters", "lora": ppo.LORA}
    return ppo.ppo_job(folder, policy, reward_model, rows=2 * STEPS, options=options)


def logged(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [(s, {k: v for k, v in values.items() if k not in TIMES}) for s, values in world.steps(folder)]


def last_checkpoint(folder: Path) -> Path:
    return max((folder / "checkpoints").glob("checkpoint-*"), key=step_of)


def same_tensors(a: Path, b: Path) -> bool:
    from safetensors.torch import load_file

    one, two = load_file(a), load_file(b)
    return set(one) == set(two) and all(torch.equal(one[name], two[name]) for name in one)


def same_state(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return set(a) == set(b) and all(same_state(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_state, a, b))
    return bool(a == b)


@pytest.mark.slow
@pytest.mark.parametrize(("sharing", "seed"), [("separate", 1), ("adapters", 2)])
def test_killed_and_started_again(sharing: str, seed: int, policy: Path, reward_model: Path, tmp_path: Path) -> None:
    rng = random.Random(seed)
    whole = make(tmp_path / "whole", policy, reward_model, sharing)
    broken = make(tmp_path / "broken", policy, reward_model, sharing)
    a, b = ppo.work(whole), Path(broken.folder)
    step = rng.randrange(WINDOW + 1, STEPS - 2)
    process = world.start(broken)
    deadline = time.monotonic() + 240
    while not any(s >= step for s, _ in world.steps(b)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(rng.random() * 0.05)
    process.kill()
    process.communicate()
    assert not (b / "model").exists()
    ppo.work(broken)
    assert world.metrics(b)["resumed_from"] >= WINDOW
    assert [s for s, _ in logged(b)] == list(range(1, STEPS + 1))
    assert logged(a) == logged(b)
    assert world.rollouts(a) == world.rollouts(b)
    assert same_tensors(a / "model" / "model.safetensors", b / "model" / "model.safetensors")
    one, two = last_checkpoint(a), last_checkpoint(b)
    assert step_of(one) == step_of(two) == STEPS
    assert same_tensors(one / "critic" / "critic.safetensors", two / "critic" / "critic.safetensors")
    states = [torch.load(folder / "optimizer.pt", weights_only=True) for folder in (one, two)]
    assert len(states[0]["param_groups"]) == 4  # two of the policy, two of the critic
    assert same_state(*states)


def test_saving_inside_a_window_is_an_error_at_once(policy: Path, tmp_path: Path) -> None:
    job = make(tmp_path / "s", policy, None, "separate")
    options = {**job.options, "save_steps": 6}
    job = ppo.ppo_job(tmp_path / "s", policy, rows=8, options=options)
    with pytest.raises(ConfigError, match=r"save_steps \(6\) must be a multiple of 4"):
        TRLBackend().plan(job)


#: every kind of file that a checkpoint has
PARTS = (
    "model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "training_args.bin",
    "critic/critic.safetensors",
    "complete.json",
)


@pytest.fixture(scope="module")
def ended(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job at its end, with two checkpoints."""
    job = ppo.ppo_job(tmp_path_factory.mktemp("ended") / "s", policy, rows=16, options={"save_steps": 2})
    ppo.work(job)
    return job


@pytest.mark.parametrize("damage", ["lost", "cut", "flipped"])
@pytest.mark.parametrize("part", PARTS)
def test_of_a_damaged_checkpoint_the_one_before_is_taken(part: str, damage: str, ended: Job, tmp_path: Path) -> None:
    folder = Path(ended.folder)
    before = tmp_path / "before"
    shutil.copytree(folder, before)
    newest = last_checkpoint(folder)
    older = newest.with_name(f"checkpoint-{step_of(newest) - 2}")
    assert older.is_dir()
    shutil.rmtree(folder / "model")
    file = newest / part
    content = bytearray(file.read_bytes())
    if damage == "lost":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 4
        file.write_bytes(content)
    ppo.work(ended)
    assert world.metrics(folder)["resumed_from"] == step_of(older)
    notes = (folder / "notes.jsonl").read_text() if (folder / "notes.jsonl").exists() else ""
    if (part, damage) != ("complete.json", "lost"):  # then it never was complete
        assert f"{newest if part == 'complete.json' else newest / part}" in notes.splitlines()[-1]
        assert "training goes on from checkpoint-" in notes.splitlines()[-1]
    assert same_tensors(before / "model" / "model.safetensors", folder / "model" / "model.safetensors")
    assert logged(before) == logged(folder)


def test_without_a_good_checkpoint_training_begins_anew(policy: Path, tmp_path: Path, capsys: Any) -> None:
    job = ppo.ppo_job(tmp_path / "s", policy, rows=16, options={"save_steps": 2})
    folder = ppo.work(job)
    first = folder / "model" / "model.safetensors"
    kept = tmp_path / "first.safetensors"
    shutil.copy(first, kept)
    shutil.rmtree(folder / "model")
    for checkpoint in (folder / "checkpoints").glob("checkpoint-*"):
        (checkpoint / "optimizer.pt").write_bytes(b"")
    ppo.work(job)
    assert world.metrics(folder)["resumed_from"] == 0
    assert "training goes on from the beginning" in (folder / "notes.jsonl").read_text()
    assert same_tensors(kept, first)
    assert "Traceback" not in capsys.readouterr().err


def test_a_run_that_ends_inside_a_window(policy: Path, tmp_path: Path) -> None:
    """`max_steps` may cut the last window: its last checkpoint is the result, and is found again."""
    job = ppo.ppo_job(tmp_path / "s", policy, rows=16, options={"max_steps": 3, "save_steps": 2})
    folder = ppo.work(job)
    assert step_of(last_checkpoint(folder)) == 3
    before = folder / "first"
    shutil.move(folder / "model", before)  # as if killed just before the end
    ppo.work(job)
    assert same_tensors(before / "model.safetensors", folder / "model" / "model.safetensors")


# ---- PPOTrainer by itself

ALONE: dict[str, Any] = {
    "num_train_epochs": 3,
    "max_steps": -1,
    "save_strategy": "steps",
    "save_steps": 2,
    "num_iterations": 2,
    "generation_batch_size": 8,
}


def alone(folder: Path, policy: Path, seen: list[str], **more: Any) -> Any:
    def reward(prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        seen.extend(prompts)
        return ppo.ids_reward(completion_ids)

    return ppo.make_trainer(folder, policy, reward_funcs=reward, rows=16, **{**ALONE, **more})


def history(trainer: Any) -> list[dict[str, float]]:
    clocks = ("step_time", "num_tokens", "train_")  # TRL counts tokens anew after a resume
    return [{k: v for k, v in line.items() if not k.startswith(clocks)} for line in trainer.state.log_history]


@pytest.mark.parametrize("step", [6, 8, 10])
def test_resumed_in_a_later_epoch(step: int, policy: Path, tmp_path: Path) -> None:
    """Shuffled anew in each epoch of 4 steps; stopped inside the second, between two, inside the third."""
    whole, part = [], []
    first = alone(tmp_path / "whole", policy, whole)
    first.train()
    assert first.state.global_step == 12
    epochs = [whole[i : i + 16] for i in (0, 16, 32)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert epochs[0] != epochs[1] != epochs[2]
    again = alone(tmp_path / "again", policy, part)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    assert part == whole[step * 4 :]
    assert history(again) == history(first)
    for models in ((first.model, again.model), (first.critic, again.critic)):
        for a, b in zip(*(model.parameters() for model in models), strict=True):
            assert torch.equal(a, b)


def test_a_checkpoint_inside_a_window_is_refused(policy: Path, tmp_path: Path) -> None:
    alone(tmp_path / "a", policy, [], max_steps=3).train()  # its end is saved, too
    with pytest.raises(StageError, match="saved at step 3, inside the optimizer steps"):
        alone(tmp_path / "b", policy, []).train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
