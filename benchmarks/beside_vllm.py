"""vLLM beside our own engine, in the same call: where SALMON_VLLM_PYTHON names an interpreter that has it.

It starts once, compiles its model unless it is told not to, and has as many threads as OMP_NUM_THREADS says. Its
prefixes are cached (on a CPU in blocks of 32 tokens, which is faster here than its own 128), so nothing is asked twice.
"""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from salmon_core.api import ModelSpec

PYTHON = os.environ.get("SALMON_VLLM_PYTHON", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be said of it."""
    parser.add_argument("--vllm-eager", action="store_true", help="vLLM does not compile: starts sooner, runs slower")
    parser.add_argument("--without-vllm", action="store_true", help="even where SALMON_VLLM_PYTHON is set")


@contextmanager
def beside(
    ability: Literal["chooser", "sampler"], spec: ModelSpec, args: argparse.Namespace, **extra: Any
) -> Iterator[Any]:
    """The model as vLLM opens it, with more arguments of vLLM's; None where there is no vLLM."""
    if not PYTHON or args.without_vllm:
        yield None
        return
    from salmon_vllm.engine import VLLMEngine

    options = VLLMEngine.Options(
        python=PYTHON,
        enforce_eager=args.vllm_eager,
        kv_cache_gib=1 if args.device == "cpu" else None,
        extra=extra,
    )
    with getattr(VLLMEngine(options), ability)(spec) as model:
        yield model


def cpu_seconds() -> float:
    """Computing time of this process and of all that it started, so far; Linux only."""
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                # Behind the name, which may have spaces: state, parent, ...; fields 14 and 15 are the times.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            used[int(entry.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and ours(parents[pid]))

    return sum(seconds for pid, seconds in used.items() if ours(pid))


def peak() -> float:
    """The largest process that has ended, MiB: vLLM's, once it is closed."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
