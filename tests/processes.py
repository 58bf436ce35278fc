"""Processes that a test started, and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable

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


def until(true: Callable[[], object], seconds: float = 20) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.02)
