"""What a stage logged and left, as the backend reads it."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from salmon_core.api import Job, ModelSpec
from salmon_core.data.principle_means import PrincipleSums
from salmon_core.errors import StageError
from salmon_core.records import RewardBreakdown
from salmon_openrlhf.backend import OpenRLHFBackend


def record(step: int, **scalars: float) -> bytes:
    """A record of a TensorBoard file, without its check sums."""
    summary = b""
    for tag, value in scalars.items():
        name = tag.replace("__", "/").encode()
        item = b"\x0a" + bytes([len(name)]) + name + b"\x15" + struct.pack("<f", value)
        summary += b"\x0a" + bytes([len(item)]) + item
    event = b"\x09" + struct.pack("<d", 1.0) + b"\x10" + bytes([step]) + b"\x2a" + bytes([len(summary)]) + summary
    return struct.pack("<QI", len(event), 0) + event + b"\0\0\0\0"


def test_steps_are_those_of_the_last_run_that_wrote_them(tmp_path: Path) -> None:
    folder = tmp_path / "tb" / "salmon"
    folder.mkdir(parents=True)
    first = b"".join(record(step, train__policy_loss=step, train__kl=0.5) for step in (1, 2, 3))
    (folder / "events.out.tfevents.100.host.1.0").write_bytes(first + record(4, train__kl=1)[:-9])
    (folder / "events.out.tfevents.200.host.2.0").write_bytes(record(3, train__policy_loss=30, train__entropy_loss=2))
    found = [(logged.step, dict(logged.values)) for logged in OpenRLHFBackend().steps(tmp_path)]
    assert found == [(1, {"loss": 1.0, "kl": 0.5}), (2, {"loss": 2.0, "kl": 0.5}), (3, {"loss": 30.0, "entropy": 2.0})]
    assert not list(OpenRLHFBackend().steps(tmp_path / "nothing"))


def test_principles_means_are_those_of_the_batch_that_the_step_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "tb"
    folder.mkdir()
    (folder / "events.out.tfevents.100.host.1.0").write_bytes(record(1, train__kl=1.0) + record(2, train__kl=2.0))
    sums = PrincipleSums(tmp_path)
    scored = [{"kind": 1.0, "a prompt's own": -2.0}, {"kind": 3.0}, {}]
    sums.add((1, RewardBreakdown(1.0, {"rm": 1.0}, {"rm": 1.0}, by_principle=each)) for each in scored)
    sums.write()
    assert [dict(logged.values) for logged in OpenRLHFBackend().steps(tmp_path)] == [
        {"kl": 1.0},
        {"kl": 2.0, "reward/principle/kind": 2.0, "reward/principle/a prompt's own": -2.0},
    ]


def test_finish_wants_files_and_finite_metrics(tmp_path: Path) -> None:
    job, backend = Job("train-rm", "reward", str(tmp_path), ModelSpec("/m"), {}, 1), OpenRLHFBackend()
    with pytest.raises(StageError, match="metrics"):
        backend.finish(job, tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"rows": 3, "files": ["model.safetensors"]}))
    with pytest.raises(StageError, match="logged nothing"):
        backend.finish(job, tmp_path)
    (tmp_path / "tb").mkdir()
    log = tmp_path / "tb" / "events.out.tfevents.1.host"
    log.write_bytes(record(1, train__loss_mean=float("nan")))
    with pytest.raises(StageError, match=r"step 1 of .*loss is nan"):
        backend.finish(job, tmp_path)
    log.write_bytes(record(1, train__loss_mean=0.5))
    with pytest.raises(StageError, match=r"model\.safetensors is missing"):
        backend.finish(job, tmp_path)
    (tmp_path / "model").mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).write_text("{}")
    assert backend.finish(job, tmp_path).metrics == {"steps": 1, "rows": 3, "final": {"loss": 0.5}}
