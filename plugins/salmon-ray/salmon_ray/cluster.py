"""Ray, started for as long as it is needed or found running; ended only by whoever started it."""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from salmon_core.errors import SalmonError
from salmon_ray.options import Options

#: bytes for what is too large for a message; Ray would take a third of the memory
_STORE = 128 << 20
#: a local cluster reports to nobody, listens on this machine's loopback only, and lets nobody in who lacks its token
_LOCAL = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Named after the systems on which it is Ray's default.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
}

#: of the clusters that this process starts; Ray keeps the first that it sees
_TOKEN = secrets.token_hex(32)
#: how the line begins in which Ray says why a worker is dead
_REASONS = ("The actor is dead because", "Task was killed", "ModuleNotFoundError", "ImportError")


class _Held:
    """This process's connection, which open models share."""

    def __init__(self) -> None:
        self.users = 0
        self.address: str | None = None
        self.end = ExitStack()


_HELD = _Held()


@contextmanager
def connected(options: Options) -> Iterator[Any]:
    """The module `ray`, connected to a cluster.

    Raises:
        SalmonError: there is none at the address, it does not start, or the process is connected to another one.
    """
    if _HELD.users and _HELD.address != options.address:
        raise SalmonError(
            f"another model is open on {_HELD.address or 'a cluster of its own'}",
            where=f"address: {options.address}",
            hint="a process has one cluster at a time: close that model first",
        )
    if not _HELD.users:
        _HELD.address = options.address
        try:
            _begin(options)
        except BaseException:
            _HELD.end.close()
            raise
    _HELD.users += 1
    try:
        import ray

        yield ray
    finally:
        _HELD.users -= 1
        if not _HELD.users:
            _HELD.end.close()


def _begin(options: Options) -> None:
    local = options.address is None
    if local:
        # Before Ray is imported, which reads them then.
        _HELD.end.enter_context(_environment({**_LOCAL, "RAY_AUTH_TOKEN": _TOKEN}))
    import ray

    if ray.is_initialized():  # by somebody else in this process, who ends it
        return
    init: dict[str, Any] = {"address": options.address}
    if local:
        folder = tempfile.mkdtemp(prefix="salmon-ray-")
        _HELD.end.callback(shutil.rmtree, folder, ignore_errors=True)
        init = {
            "address": "local",
            "num_cpus": max(1, math.ceil(options.workers * options.num_cpus)),
            "num_gpus": None if options.num_gpus else 0,
            "resources": {name: options.workers * value for name, value in options.resources.items()} or None,
            "include_dashboard": False,
            "object_store_memory": _STORE,
            "_temp_dir": folder,
        }
    try:
        ray.init(**init, logging_level=logging.ERROR)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        raise SalmonError(
            f"cannot be {'started' if local else 'reached'}: {first_line(error)}",
            where="Ray on this machine" if local else f"address: {options.address}",
            hint="is there room in the temporary folder, and for more processes?"
            if local
            else "is the cluster running, and does this machine belong to it?",
        ) from None
    _HELD.end.callback(ray.shutdown)


def first_line(error: BaseException) -> str:
    """What an error says, in one line: of a worker that died, why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith(_REASONS)]
    return (reasons or lines or [type(error).__name__])[0][:300]


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """In the block, these are set; processes that Ray starts inherit them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
