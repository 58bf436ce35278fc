"""Memory that is kept for the next tensors."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from salmon_core.kit import heap

SCRIPT = """
import resource, sys
from salmon_core.kit import heap
print(heap.keep())
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
begin = faults()
for _ in range(50):
    blocks = [bytearray(8 << 20) for _ in range(4)]
    del blocks
print(faults() - begin)
"""


def _run(**variables: str) -> tuple[bool, int]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=variables)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="glibc's options")
def test_pages_are_kept_unless_the_environment_says_otherwise():
    kept, faults = _run()
    assert kept
    # 32 MiB once are 8,192 pages of 4 KiB.
    assert faults < 3 * 8192
    left, more = _run(MALLOC_TRIM_THRESHOLD_="131072")
    assert not left
    assert more > 5 * faults


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert heap.keep() is False
