"""A run that a signal ends says which stage it ended, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from core_world import SALMON, environment, make_folder


def reset() -> None:
    """A test that runs in the background of a shell would pass on that SIGINT is ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    return subprocess.Popen(
        [str(SALMON), "run", "salmon.yaml", *args], cwd=folder, env=environment(), stderr=subprocess.PIPE,
        text=True, preexec_fn=reset,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
        (signal.SIGINT, 130, "interrupted"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_signal_says_what_it_ended(number: signal.Signals, code: int, says: str, tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "own.jsonl").write_text('{"prompt": "Why?", "completion": "So."}\n')
    # The first training of this run is `sft`: fewer stages to wait for.
    sft = "sft={data: own.jsonl, backend: toy, options: {fail: hang}}"
    run = start(tmp_path, "--set", sft)
    log, deadline = tmp_path / "runs/toy/sft/log.txt", time.monotonic() + 90
    while not (log.exists() and "warming up" in log.read_text()):
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    below = psutil.Process(run.pid).children(recursive=True)
    assert below
    os.kill(run.pid, number)
    _, err = run.communicate(timeout=60)
    assert run.returncode == code, err
    assert err.splitlines()[-1] == (
        f"{says} during sft; what is finished is kept, and the same command goes on from there"
    )
    assert "Traceback" not in err
    assert not [process for process in below if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    events = (tmp_path / "runs/toy/events.jsonl").read_text()
    assert '"event": "StageFailed"' in events
    assert (f'"error": "{says}"' in events) == (number != signal.SIGINT)
