"""Policy, reference and critic spread over two processes by FSDP2: the same numbers as one process, also resumed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import torch
import trl_world as world
from safetensors.torch import load_file
from test_ppo_processes import COMPARED, job

from salmon_core.api import Job
from salmon_trl.backend import TRLBackend

pytestmark = pytest.mark.slow

FSDP = """\
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
num_machines: 1
num_processes: 2
main_process_port: 0
use_cpu: false
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_reshard_after_forward: true
  fsdp_cpu_ram_efficient_loading: false
  fsdp_state_dict_type: FULL_STATE_DICT
"""


def sharded(folder: Path, policy: Path, reward_model: Path, **extra: Any) -> Job:
    file = folder.parent / "fsdp.yaml"
    file.write_text(FSDP)
    made = job(folder, policy, reward_model, "separate", 2, accelerate_config=str(file))
    options = {**made.options, "extra": {**made.options["extra"], **extra}}
    return replace(made, options=options | ({"lr_scheduler_type": "linear"} if extra else {}))


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert set(a) == set(b)
    for key, value in a.items():
        torch.testing.assert_close(b[key], value, atol=1e-5, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")


def test_two_shards_compute_what_one_process_does(
    policy: Path, reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = job(tmp_path / "one", policy, reward_model, "separate", 1)
    world.run(one)
    monkeypatch.setenv("SALMON_TEST_FSDP", "1")
    two = sharded(tmp_path / "two", policy, reward_model)
    said = world.run(two)
    a, b = Path(one.folder), Path(two.folder)
    assert "FSDP" in said or json.loads((b / "metrics.json").read_text()), said
    TRLBackend().finish(two, b)
    first, second = world.steps(a), world.steps(b)
    assert [step for step, _ in first] == [step for step, _ in second] == [1, 2, 3, 4]
    for (step, x), (_, y) in zip(first, second, strict=True):
        for name in (each for each in COMPARED if each in x):
            assert y[name] == pytest.approx(x[name], abs=1e-4, rel=1e-3), f"step {step}: {name}"
    close(load_file(a / "model" / "model.safetensors"), load_file(b / "model" / "model.safetensors"))
    for step in (2, 4):
        critics = [f / "checkpoints" / f"checkpoint-{step}" / "critic" / "critic.safetensors" for f in (a, b)]
        close(*map(load_file, critics))
    parts = sorted(path.name for path in (b / "checkpoints" / "checkpoint-4" / "critic" / "optimizer").iterdir())
    assert parts == [".metadata", "__0_0.distcp", "__1_0.distcp"]


def test_it_goes_on_where_it_was(
    policy: Path, reward_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With moments and a schedule that falls; the checkpoint is that of the middle."""
    monkeypatch.setenv("SALMON_TEST_FSDP", "1")
    asked = sharded(tmp_path / "run", policy, reward_model, optim="adamw_torch")
    world.run(asked)
    folder = Path(asked.folder)
    files = [folder / "model/model.safetensors", folder / "checkpoints/checkpoint-4/critic/critic.safetensors"]
    before, logged = [load_file(file) for file in files], world.steps(folder)
    for name in ("model", "checkpoints/checkpoint-4"):
        shutil.rmtree(folder / name)
    (folder / "metrics.json").unlink()
    world.run(asked)
    assert json.loads((folder / "metrics.json").read_text())["resumed_from"] == 2
    for was, file in zip(before, files, strict=True):
        close(was, load_file(file))
    for (step, x), (_, y) in zip(logged, world.steps(folder), strict=True):
        for name in (each for each in COMPARED if each in x):
            assert y[name] == pytest.approx(x[name], abs=1e-5, rel=1e-4), f"step {step}: {name}"
