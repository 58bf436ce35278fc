"""A run of the real OpenRLHF, steered while it goes on, killed and resumed: its rewards are those of the record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from openrlhf_world import salmon
from processes import paused
from rl_world import configure, world  # noqa: F401  (a fixture)

from salmon_core.data.interventions import RECORD, last_begun, read_record
from salmon_core.data.rollouts import read_rollout_rows

pytestmark = [
    pytest.mark.openrlhf,
    pytest.mark.skipif(not os.environ.get("SALMON_OPENRLHF_ALL"), reason="one more training: make prove-openrlhf"),
]
STEPS = 8


def test_a_steered_run_follows_its_record(world: Path) -> None:  # noqa: F811
    options = {"num_generations": 4, "beta": 0.05, "max_steps": STEPS, "save_steps": 2, "log_rollouts_every": 1}
    small = {"generation_batch_size": 16, "total_batch_size": 16, "per_device_train_batch_size": 16}
    config = configure(world, "steered", "grpo", {**options, **small})
    run = world / "runs" / "steered"
    process = subprocess.Popen([sys.executable, "-m", "salmon_core", "run", str(config)])

    def until(begun: int) -> None:
        deadline = time.monotonic() + 1800
        while last_begun(run) < begun:
            assert process.poll() is None, (run / "train-policy" / "log.txt").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    until(1)
    with paused(process.pid, "salmon_serve"):  # the command takes longer than a batch
        salmon("steer", run, "--add", "The answer gives numbered steps.", "--reason", "to see it")
    until(4)
    with paused(process.pid, "salmon_serve"):
        salmon("steer", run, "--bonus", "missing-stop=2")
    process.send_signal(signal.SIGKILL)
    process.wait()
    salmon("run", config)
    found = read_record(run / RECORD)
    starts = [each.from_rollout for each in found]
    assert [each.id for each in found] == [1, 2]
    assert 2 <= starts[0] < starts[1] < STEPS, starts
    rows = list(read_rollout_rows(run / "train-policy"))
    assert {row["rollout_index"] for row in rows} == set(range(STEPS))
    for row in rows:
        held = [each.id for each in found if each.from_rollout <= row["rollout_index"]]
        assert row["interventions"] == held
        assert (row["principles"][0]["text"] == "The answer gives numbered steps.") is (1 in held)
    verified = salmon("verify", run, run / "train-policy")
    assert f"{len(rows)} rollouts" in verified.stdout
