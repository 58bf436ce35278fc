"""Ray, started for as long as it is needed or found running; ended only by whoever started it."""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import socket
import sys
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
#: the address of a Unix socket has 107 bytes at most, and Ray puts 68 behind the folder
_LONGEST = 38
_REACH = "is the cluster running, and does this machine belong to it?"
#: how the line begins in which Ray says why a worker is dead
_REASONS = ("The actor is dead because", "Task was killed", "ModuleNotFoundError", "ImportError")


class _Held:
    """This process's connection, which open models share."""

    def __init__(self) -> None:
        self.users = 0
        self.address: str | None = None
        #: whether Ray was imported with the settings of a local cluster
        self.private = False
        self.end = ExitStack()


_HELD = _Held()


@contextmanager
def connected(options: Options) -> Iterator[Any]:
    """The module `ray`, connected to a cluster.

    Raises:
        SalmonError: there is none at the address, it does not start, or the process is connected to another one.
    """
    if _HELD.users and options.address not in (_HELD.address, _reached()):
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


def _reached() -> str:
    """The address of the cluster that this process is connected to."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


def _begin(options: Options) -> None:
    local, early = options.address is None, "ray" in sys.modules
    if local:
        # Ray reads them once in a process, as soon as it is imported.
        _HELD.end.enter_context(_environment({**_LOCAL, "RAY_AUTH_TOKEN": _TOKEN}))
    elif options.address and not (early and sys.modules["ray"].is_initialized()):
        _knock(options.address)
    import ray

    if ray.is_initialized():  # by somebody else in this process, who ends it
        return
    if local and early and not _HELD.private:
        raise SalmonError(
            "Ray was imported in this process before, so it could only be started open to others",
            where="Ray on this machine",
            hint="start it before the model is opened, by `ray.init()`, or give the address of a cluster",
        )
    _HELD.private = _HELD.private or local
    init: dict[str, Any] = {"address": options.address}
    if local:
        folder = _private_folder()
        _HELD.end.callback(shutil.rmtree, folder, ignore_errors=True)
        init = {
            "address": "local",
            "num_cpus": max(1, math.ceil(options.workers * options.num_cpus)),
            "num_gpus": None if options.num_gpus else 0,
            "resources": {name: options.workers * value for name, value in options.resources.items()} or None,
            "include_dashboard": False,
            "object_store_memory": _STORE,
            # Ray opens it to all, but not the folder that it is in.
            "_temp_dir": os.path.join(folder, "r"),
        }
    try:
        ray.init(**init, logging_level=logging.ERROR)
    except (ray.exceptions.RayError, OSError, RuntimeError, ValueError) as error:
        raise SalmonError(
            f"cannot be {'started' if local else 'reached'}: {first_line(error)}",
            where="Ray on this machine" if local else f"address: {options.address}",
            hint="is there room in the temporary folder, and for more processes?" if local else _REACH,
        ) from None
    _HELD.end.callback(ray.shutdown)


def _private_folder() -> str:
    """A new folder that nobody else may enter, with room in its path for the names of Ray's sockets."""
    folder = tempfile.mkdtemp(prefix="salmon-ray-")
    if len(os.fsencode(folder)) > _LONGEST:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="salmon-ray-", dir="/tmp")
    return folder


def _knock(address: str) -> None:
    """Ray takes half a minute to find that nobody is there."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise SalmonError(f"cannot be reached: {error}", where=f"address: {address}", hint=_REACH) from None


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
