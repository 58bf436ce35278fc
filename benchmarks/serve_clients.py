"""Clients of a reward server, for `serve.py`: what they wait for, and whether the answers are right."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

from serve_world import POOL, Server, World


@dataclass
class Found:
    """What the clients saw."""

    latencies: list[float] = field(default_factory=list)
    worst: float = 0.0
    seconds: float = 0.0
    cpu: float = 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, dict[str, Any]]:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def load(server: Server, world: World, clients: int, seconds: float, *, keep: bool = True) -> Found:
    """So many clients, each asking again as soon as it has its answer; every answer is checked.

    Args:
        keep: whether a client keeps its connection, as our executor does; OpenRLHF's client opens one for each sample.
    """
    found, end = Found(), time.perf_counter() + seconds
    start, cpu = time.perf_counter(), server.cpu()

    async def client(number: int) -> None:
        rng = random.Random(f"{time.time_ns()} {number}")
        connection = None
        while time.perf_counter() < end:
            question, key = rng.randrange(POOL), f"{rng.getrandbits(96):x}"
            asked = time.perf_counter()
            reader, writer = connection = connection or await asyncio.open_connection(server.host, server.port)
            status, answer = await exchange(reader, writer, server.request(question, key))
            found.latencies.append(time.perf_counter() - asked)
            if not keep:
                writer.close()
                connection = None
            if status != 200:
                raise SystemExit(f"{server.name}: HTTP {status}: {answer}")
            found.worst = max(found.worst, abs(server.score(answer, key) - world.scores[question]))
        if connection is not None:
            connection[1].close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    found.seconds, found.cpu = time.perf_counter() - start, server.cpu() - cpu
    return found
