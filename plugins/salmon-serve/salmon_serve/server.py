"""Starts the server, says where it is, and ends it: what is queued is finished, new requests are refused."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn
from prometheus_client import disable_created_metrics

from salmon_core.data.principle_means import PrincipleSums
from salmon_core.errors import SalmonError
from salmon_core.kit.serving import bind, open_access, remove_ready, server_config, write_ready
from salmon_serve.admission import Admission
from salmon_serve.app import make_app
from salmon_serve.connections import Connections, Limits, raise_descriptor_limit
from salmon_serve.idempotency import IdempotencyCache
from salmon_serve.load import Source
from salmon_serve.metrics import Metrics
from salmon_serve.protocol import BoundedProtocol
from salmon_serve.rollouts import RolloutWriter
from salmon_serve.schemas import MAX_ITEMS
from salmon_serve.scorer import Scorer

#: seconds for what is queued when asked to stop; then for the last answers to leave
DRAIN, LEAVE = 60.0, 5.0
#: of the environment, with the token
VARIABLE = "SALMON_SERVE_TOKEN"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve.

    Attributes:
        port: 0 takes a free one.
        ready_file: by default `services/reward.json` in the source's folder.
        token_file: holds the token, for its owner alone.
        raw: OpenRLHF's protocol as well.
        max_batch: rollouts scored at once.
        max_queue: rollouts waiting at most.
        max_connections: at once, all together; fewer where the system allows fewer open files.
        head_seconds: a request's head may take to arrive.
        body_seconds: a request's body may take to arrive.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ready_file: Path | None = None
    token_file: Path | None = None
    raw: bool = False
    max_batch: int = 256
    max_queue: int = 4096
    max_connections: int = 8192
    head_seconds: float = 20.0
    body_seconds: float = 60.0


def serve(source: Source, settings: Settings) -> None:
    """Serves until a signal ends it.

    Raises:
        SalmonError: the address is taken, a token is unusable, the reward cannot be loaded, the ready file cannot be
            written.
    """
    if settings.max_queue < MAX_ITEMS:
        raise SalmonError(f"the queue has to hold one request of {MAX_ITEMS} rollouts", where="--max-queue")
    limits = Limits(settings.head_seconds, settings.body_seconds, connections=settings.max_connections)
    limits = limits.within(raise_descriptor_limit())
    access = open_access(settings.token_file, VARIABLE)
    listener, url = bind(settings.host, settings.port)
    writer = RolloutWriter(source.log, PrincipleSums(source.folder)) if source.log is not None else None
    scorer = Scorer(source.open, max_batch=settings.max_batch, max_queue=settings.max_queue, writer=writer)
    names = scorer.start()
    cache = IdempotencyCache()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, which says only when the server started
    connections = Connections(limits)
    metrics = Metrics(names, lambda: scorer.queued, lambda: len(cache), connections)
    scorer.on_batch = metrics.batch
    admission = Admission(scorer, cache, metrics)
    config = server_config(
        make_app(admission, access, metrics, raw=settings.raw, body_seconds=settings.body_seconds),
        leave=LEAVE,
        http=partial(BoundedProtocol, counted=connections),
        backlog=limits.backlog,
        timeout_keep_alive=int(limits.idle_seconds),
    )
    ready = settings.ready_file or source.folder / "services" / "reward.json"

    def announce() -> None:
        write_ready(ready, {"url": url, "token": access.token, "pid": os.getpid()})
        print(f"serving {', '.join(names)} at {url}; the token is in {ready}", flush=True)

    # What loading left stays as it is: walking through all of it again and again would stop every answer for a while.
    gc.collect()
    gc.freeze()
    try:
        _Server(config, admission, announce).run([listener])
        scorer.close(LEAVE)
    finally:
        remove_ready(ready)


class _Server(uvicorn.Server):
    """Asked to stop, it refuses what is new, answers what it has, and only then stops listening.

    uvicorn by itself stops listening at once, so that clients would see a broken connection instead of a 503.
    """

    def __init__(self, config: uvicorn.Config, admission: Admission, announce: Callable[[], None]):
        super().__init__(config)
        self._admission, self._announce = admission, announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._admission.stopping:  # asked twice
            self.force_exit = self.should_exit = True
        self._admission.stopping = True

    async def main_loop(self) -> None:
        draining = asyncio.get_running_loop().create_task(self._drain())
        await super().main_loop()
        draining.cancel()

    async def _drain(self) -> None:
        while not self._admission.stopping:
            await asyncio.sleep(0.05)
        deadline = time.monotonic() + DRAIN
        while not self._admission.idle and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.should_exit = True
