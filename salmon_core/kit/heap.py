"""What a CPU's large tensors leave behind is kept for the next ones.

glibc gives memory back to the system wherever much of it is free at the end of its heap, which with a network's
activations is at every layer. The system clears each page before it gives it out again: a quarter of the time of
judging with a small model on two cores can go there.
"""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM, _MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
#: bytes that may lie free at the end; and from which on a tensor is mapped for itself, which older glibc limit
_FREE, _MAPPED = 1 << 30, (1 << 30, 32 << 20)
_CHOSEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep() -> bool:
    """Has this process keep up to 1 GiB that it no longer needs. -> whether that could be asked for.

    Not where somebody chose otherwise in the environment, nor where the C library is another.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _CHOSEN):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(set_option(_TRIM, _FREE)) and any(set_option(_MMAP, size) for size in _MAPPED)
