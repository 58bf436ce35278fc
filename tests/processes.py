"""Processes that a test started, and waiting for them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil


def lives(process: psutil.Process) -> bool:
    """Whether it still runs."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def below(pid: int | None = None) -> list[psutil.Process]:
    """Processes below this one, or another, that are alive."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [each for each in found if lives(each)]


@contextmanager
def paused(pid: int, program: str) -> Iterator[None]:
    """In the block, processes below `pid` whose command line has this word do nothing."""
    found = [each for each in below(pid) if any(program in word for word in each.cmdline())]
    assert found, f"there is no {program}"
    for each in found:
        each.suspend()
    try:
        yield
    finally:
        for each in found:
            each.resume()


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)


def kill_when(
    argv: Sequence[str],
    ready: Callable[[], bool],
    *,
    env: Mapping[str, str],
    seconds: float = 240,
    cwd: Path | None = None,
) -> None:
    """Starts a run, kills it with SIGKILL when `ready`, and waits until nothing of it is left."""
    process = subprocess.Popen(argv, env=env, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    descendants = below(process.pid)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(descendants, timeout=20)
    assert not alive, f"left over: {[p.cmdline() for p in alive]}"


def checkpointed(stage: Path) -> Callable[[], bool]:
    """Whether a training has left a whole checkpoint."""
    return lambda: any((stage / "checkpoints").glob("checkpoint-*/complete.json"))
