"""Our reward server under full load, for `serve.py`: every answer is checked, and memory is watched."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import time

from serve_clients import exchange
from serve_world import POOL, Server, World, start_ours


async def saturate(server: Server, world: World, clients: int, seconds: float, tolerance: float) -> dict[str, int]:
    """Every question has an id; some are asked twice at once. Memory is read all along."""
    counts = dict.fromkeys(("asked", "answered", "repeated", "wrong"), 0)
    end, memory = time.perf_counter() + seconds, [server.memory()]

    async def client(number: int) -> None:
        rng = random.Random(number)
        connections = [await asyncio.open_connection(server.host, server.port) for _ in range(2)]
        serial = 0
        while time.perf_counter() < end:
            serial += 1
            question, key = rng.randrange(POOL), f"{os.getpid()}-{number}-{serial}"
            twice = 2 if rng.random() < 0.1 else 1
            counts["asked"] += 1
            counts["repeated"] += twice - 1
            request = server.request(question, key)
            answers = await asyncio.gather(*(exchange(*connection, request) for connection in connections[:twice]))
            for status, answer in answers:
                right = status == 200 and abs(server.score(answer, key) - world.scores[question]) <= tolerance
                counts["wrong"] += not right
            counts["wrong"] += twice == 2 and answers[0] != answers[1]
            counts["answered"] += 1

    async def watch() -> None:
        while time.perf_counter() < end:
            await asyncio.sleep(min(5.0, seconds / 20))
            memory.append(server.memory())

    await asyncio.gather(watch(), *(client(number) for number in range(clients)))
    text = await _metrics(server)
    counts["scored"] = int(float(text.split("\nsalmon_rollouts_scored_total ")[1].split("\n")[0]))
    kept = int(float(text.split("\nsalmon_answers_kept ")[1].split("\n")[0]))
    third = len(memory) // 3
    early, late = statistics.median(memory[third : 2 * third]), statistics.median(memory[2 * third :])
    print(f"memory, MiB: {memory[0] >> 20} at the start, {early / 2**20:.1f} in the second third, "
          f"{late / 2**20:.1f} in the last; {kept} answers are kept for retries")  # fmt: skip
    return counts


async def _metrics(server: Server) -> str:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    token = server.request(0, "x").split(b"Bearer ")[1].split(b"\r\n")[0]
    writer.write(
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    )
    text = (await reader.read()).decode()
    writer.close()
    return text


def check_saturated(world: World, args: argparse.Namespace, tolerance: float) -> bool:
    """Runs one server under full load. -> whether everything was right."""
    server = start_ours(world)
    try:
        counts = asyncio.run(saturate(server, world, args.clients, args.saturate, tolerance))
    finally:
        server.stop()
    print(", ".join(f"{count} {name}" for name, count in counts.items()))
    right = counts["asked"] == counts["answered"] == counts["scored"] and not counts["wrong"]
    print("no answer lost, doubled or swapped" if right else "ANSWERS WERE LOST, DOUBLED OR SWAPPED")
    return right
