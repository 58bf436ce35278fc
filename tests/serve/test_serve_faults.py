"""What goes wrong around a server; nothing may be lost or swapped without a word."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from core_world import environment
from serve_world import Answer, Server, free, make_bytes_world, row_of

from salmon_core.kit.reward_client import RewardClient, RewardServerError


def o(count: int) -> dict[str, Any]:
    """A rollout whose score says which one it is."""
    return free("o" * count, principles=[])


def moods(answer: Answer) -> list[float]:
    assert answer.status == 200, answer.body
    return [reward["raw"]["moody"] for reward in answer.json["rewards"]]


# -- the reward --------------------------------------------------------------------------------------------------------


def test_a_raising_bonus_ends_it_for_everyone(tmp_path: Path) -> None:
    config = make_bytes_world(tmp_path / "world")
    with Server.of(config, tmp_path / "server", "--raw") as server:
        kept = o(3)
        before = server.score([kept])
        with ThreadPoolExecutor(8) as pool:
            asked = [[free("SLEEP0.5")], [free("BOOM")], *([o(i)] for i in range(6))]
            answers = list(pool.map(server.score, asked))
        assert answers[1].status == 500
        for answer in [*answers, server.score([o(1)]), server.score([kept]), server.raw("ao", "a")]:
            if answer.status == 200:  # scored before
                assert answer in answers
                continue
            assert answer.status == 500
            assert answer.error["component"] == "moody"
            assert answer.error["owner"].endswith("moody.py)") or "moody" in answer.error["owner"]
            assert "the bonus is out of order" in answer.error["message"]
        assert before.status == 200
        health = server.ask("GET", "/health", token=None)
        assert (health.status, health.json["status"]) == (503, "failed")
        with pytest.raises(RewardServerError, match=r"moody of .*moody.*out of order") as error:
            RewardClient(server.url, server.token).score([o(1)])
        assert (error.value.status, error.value.component) == (500, "moody")
    assert "Traceback" in server.log.read_text()  # for the plugin's author


def test_a_fallback_stays_with_the_request_that_needed_it(tmp_path: Path) -> None:
    config = make_bytes_world(tmp_path / "world", on_failure=-3.0)
    with Server.of(config, tmp_path / "server") as server:
        asked = [[free("SLEEP0.5")], [free("BOOM"), free("oo")], *([o(i)] for i in range(8))]
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(server.score, asked))
        assert moods(answers[1]) == [-3.0, -3.0]
        assert [reward["fallbacks"] for reward in answers[1].json["rewards"]] == [["moody"]] * 2
        for i, answer in enumerate(answers[2:]):
            assert moods(answer) == [i / 8]
            assert answer.json["rewards"][0]["fallbacks"] == []
        text = server.ask("GET", "/metrics").body.decode()
        assert 'salmon_fallbacks_total{component="moody"} 2.0\n' in text


def test_a_slow_bonus_fills_the_queue_and_blocks_nothing_else(tmp_path: Path, bytes_world: Path) -> None:
    options = ("--raw", "--max-queue", "1024", "--max-batch", "512")
    with Server.of(bytes_world, tmp_path, *options) as server, ThreadPoolExecutor(16) as pool:
        slow = pool.submit(server.score, [free("SLEEP6")])
        time.sleep(0.5)
        full = pool.submit(server.score, [o(i % 9) for i in range(1024)])
        time.sleep(1.0)
        start = time.monotonic()
        assert server.ask("GET", "/health", token=None).status == 200
        assert server.metric("salmon_rollouts_queued") == 1024
        refused = server.score([o(1)])
        assert time.monotonic() - start < 4  # all while the bonus sleeps
        assert refused.status == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        # The raw protocol's client would give up: it is held until there is room.
        held = [pool.submit(server.raw, f"a{'o' * i}", "a") for i in range(8)]
        time.sleep(0.5)
        assert server.metric("salmon_rollouts_queued") == 1024  # they are held, not queued
        patient = pool.submit(RewardClient(server.url, server.token).score, [o(5)])
        assert moods(slow.result()) == [0.0]
        assert moods(full.result()) == [i % 9 / 8 for i in range(1024)]
        assert [each.result().json["extra_logs"]["moody"] for each in held] == [i / 8 for i in range(8)]
        assert patient.result()[0]["raw"]["moody"] == 5 / 8


# -- clients -----------------------------------------------------------------------------------------------------------


def raw_socket(server: Server) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=30)


def head(server: Server, length: int | str) -> bytes:
    lines = [
        "POST /v1/rewards HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {server.token}",
        f"Content-Length: {length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_vanishing_clients(server: Server) -> None:
    """In the middle of a body, and while they wait; a retry finds the answer of what was asked."""
    asked = [free("SLEEP0.5 o"), o(2)]
    body = json.dumps({"rollouts": asked}).encode()
    for _ in range(20):
        with raw_socket(server) as connection:
            connection.sendall(head(server, 1000) + b'{"rollouts": [')
    scored = server.metric("salmon_rollouts_scored_total")
    for _ in range(5):
        with raw_socket(server) as connection:
            connection.sendall(head(server, len(body)) + body)
            time.sleep(0.1)
    assert moods(server.score(asked)) == [1 / 8, 2 / 8]
    assert server.metric("salmon_rollouts_scored_total") == scored + 2
    assert server.ask("GET", "/health", token=None).status == 200


NO_HTTP = {
    "words": b"GARBAGE\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "long": b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "negative": b"POST /v1/rewards HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "zeros": b"\x00" * 5000,
    "chunks": b"POST /v1/rewards HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_http(server: Server, sent: bytes) -> None:
    with raw_socket(server) as connection:
        connection.sendall(sent)
        try:
            answer = connection.recv(4096)
        except ConnectionResetError:
            answer = b""
    assert not answer or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401"))
    assert moods(server.score([o(1)])) == [1 / 8]


def test_chunked_bodies_are_limited_as_they_arrive(server: Server) -> None:
    before = server.memory()
    request = head(server, 0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    part = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = b""
    with raw_socket(server) as connection:
        connection.sendall(request)
        try:
            for _ in range(3000):  # 190 MiB, if it were let in
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            answer = connection.recv(4096)
        except ConnectionResetError:
            answer = b""
    assert answer.startswith(b"HTTP/1.1 413") or not answer
    assert server.memory() - before < 60 << 20
    assert moods(server.score([o(1)])) == [1 / 8]


@pytest.mark.parametrize("part", [b"X-More: " + b"x" * 1000 + b"\r\n", b"x" * 1000], ids=["headers", "one header"])
def test_a_head_without_end_is_cut_off(server: Server, part: bytes) -> None:
    """Nobody has shown a token yet, so nothing much may be kept."""
    before, answer = server.memory(), b""
    with raw_socket(server) as connection:
        connection.sendall(b"POST /v1/rewards HTTP/1.1\r\nHost: x\r\nX-First: ")
        try:
            for _ in range(100_000):  # 95 MiB, if it were let in
                connection.sendall(part)
            answer = connection.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert not answer or answer.startswith(b"HTTP/1.1 400")
    assert server.memory() - before < 20 << 20
    assert moods(server.score([o(1)])) == [1 / 8]


def test_500_connections_at_once(server: Server) -> None:
    """Each is answered, with its own answer."""
    bodies = [json.dumps({"rollouts": [o(i)]}).encode() for i in range(500)]
    connections = [raw_socket(server) for _ in bodies]
    try:
        for connection, body in zip(connections, bodies, strict=True):
            connection.sendall(head(server, len(body)) + body)
        for i, connection in enumerate(connections):
            found = b""
            while b"fallbacks" not in found:
                part = connection.recv(65536)
                assert part, found
                found += part
            assert found.startswith(b"HTTP/1.1 200")
            reward = json.loads(found.partition(b"\r\n\r\n")[2])["rewards"][0]
            assert reward["raw"]["moody"] == i / 8
    finally:
        for connection in connections:
            connection.close()


# -- the process -------------------------------------------------------------------------------------------------------


def test_no_thread_for_each_request(server: Server) -> None:
    """Requests are admitted in the event loop: a hop to another thread and back costs more than all else they need."""
    before = psutil.Process(server.pid).num_threads()
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda i: server.score([free(f"threads {i}")]).status, range(96)))
    assert set(found) == {200}
    assert psutil.Process(server.pid).num_threads() <= before + 2


def test_killed_in_the_middle_of_a_request(tmp_path: Path, bytes_world: Path) -> None:
    """The client says so, or finds the answer at a server started in its place; never an answer that is none."""
    with Server.of(bytes_world, tmp_path / "one") as server:
        impatient = RewardClient(server.url, server.token, patience=0.0)
        patient = RewardClient(server.url, server.token, patience=60.0)
        with ThreadPoolExecutor(2) as pool:
            failing = pool.submit(impatient.score, [free("SLEEP2 o")])
            lasting = pool.submit(patient.score, [free("SLEEP1 oo", id="kept"), o(3)])
            time.sleep(1.0)
            server.kill()
            with pytest.raises(RewardServerError, match="no answer") as error:
                failing.result()
            assert error.value.status == 0
            assert server.ready.exists()  # nobody was there to remove it; the pipeline does before it starts one
            env = {"SALMON_SERVE_TOKEN": server.token}
            with Server.of(bytes_world, tmp_path / "two", "--port", str(server.port), env=env):
                assert [reward["raw"]["moody"] for reward in lasting.result()] == [2 / 8, 3 / 8]


def test_asked_to_stop_it_finishes_what_is_queued(tmp_path: Path, bytes_world: Path) -> None:
    with Server.of(bytes_world, tmp_path, "--max-batch", "4") as server:
        with ThreadPoolExecutor(16) as pool:
            asked = [pool.submit(server.score, [free("SLEEP0.3 " + "o" * i)]) for i in range(12)]
            time.sleep(0.6)
            os.kill(server.pid, signal.SIGTERM)
            time.sleep(0.4)
            refused = server.score([o(1)])
            assert refused.status == 503
            assert "Retry-After" in refused.headers
            assert server.ask("GET", "/health", token=None).json["status"] == "stopping"
            assert [moods(each.result())[0] for each in asked] == [i / 8 for i in range(12)]
        assert server.process.wait(20) == 0
    assert not server.ready.exists()
    assert "Traceback" not in server.log.read_text()


def test_no_orphan_when_the_parent_is_killed(tmp_path: Path, bytes_world: Path) -> None:
    """As a backend's service: `salmon_core.run.processes` ties it to the process that started it."""
    code = (
        "import sys, time; from pathlib import Path; from salmon_core.run.processes import Running\n"
        "with Running(sys.argv[1:], env={}, cwd=Path.cwd(), log=Path('log.txt')): time.sleep(600)"
    )
    ready = tmp_path / "ready.json"
    argv = [sys.executable, "-m", "salmon_core", "serve", str(bytes_world), "--ready-file", str(ready)]
    parent = subprocess.Popen([sys.executable, "-c", code, *argv], cwd=tmp_path, env=environment())
    deadline = time.monotonic() + 120
    while not ready.exists():
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process = psutil.Process(json.loads(ready.read_text())["pid"])
    parent.kill()
    parent.wait()
    process.wait(15)
    assert not ready.exists()  # it ended by itself, in order


def test_memory_stays_flat(tmp_path: Path, bytes_world: Path) -> None:
    """Requests of all kinds; only the answers kept for retries take room, and they are bounded, see below."""
    rng = random.Random(0)
    with Server.of(bytes_world, tmp_path, "--raw") as server:

        def round_of(requests: int) -> None:
            def one(_: int) -> None:
                kind = rng.random()
                if kind < 0.6:
                    numbers = [rng.randrange(200) for _ in range(16)]
                    assert moods(server.score([o(n) for n in numbers])) == [n / 8 for n in numbers]
                elif kind < 0.8:
                    assert server.raw(row_of(3)["prompt"] + "oo</s>", row_of(3)["prompt"], 3).status == 200
                elif kind < 0.9:
                    assert server.score([free("x" * 100_000, completion_ids=list(range(256)) * 8)]).status == 200
                else:
                    assert server.ask("POST", "/v1/rewards", b"{" * 100_000).status == 422

            with ThreadPoolExecutor(4) as pool:
                list(pool.map(one, range(requests)))

        round_of(300)
        before, kept = server.memory(), server.metric("salmon_answers_kept")
        round_of(900)
        grown = server.metric("salmon_answers_kept") - kept
        assert grown > 3000
        assert server.memory() - before < (24 << 20) + 1024 * grown  # what is kept, and the allocator's moods


def test_the_memory_of_answers_is_bounded() -> None:
    import asyncio

    from salmon_serve.idempotency import IdempotencyCache

    async def fill() -> None:
        cache = IdempotencyCache(max_answers=50, max_bytes=10_000)
        for size, most in ((10, 50), (1000, 10)):
            for number in range(200):
                key = f"{size} {number}".encode()
                cache.expect(key, b"d" * 16)
                cache.finish(key, b"x" * size)
                assert cache.find(key, b"d" * 16) == b"x" * size
                assert len(cache) <= most + 50 * (size == 1000 and number < 60)
            assert len(cache) == most
        assert cache.find(b"1000 0", b"d" * 16) is None

    asyncio.run(fill())


def test_threads_of_one_client(server: Server) -> None:
    client = RewardClient(server.url, server.token)
    found: list[bool] = []

    def ask(number: int) -> None:
        for _ in range(10):
            found.append(client.score([o(number)])[0]["raw"]["moody"] == number / 8)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 120
