"""Clients that open connections and do nothing with them: they take nobody else's place, and are closed in time."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from serve_world import Server, free

from salmon_serve.connections import Connection, Connections, Limits, State

HALF_OPEN = 5_000
#: seconds in which a server under attack has to answer; alone it takes milliseconds
SOON = 5.0


@contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Lets this process have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.fail(f"the hard limit on open files is {hard}; this test needs {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count if soft == resource.RLIM_INFINITY else max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(server: Server) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=30)


def head(server: Server, length: int, path: str = "/v1/rewards") -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {server.token}",
        f"Content-Length: {length}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ask_health(connection: socket.socket) -> None:
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in until_answered(connection)


def until_answered(connection: socket.socket) -> bytes:
    """An answer with a JSON object."""
    found = b""
    while not found.endswith(b"}"):
        part = connection.recv(4096)
        assert part, found
        found += part
    return found


def until_closed(connection: socket.socket, timeout: float) -> tuple[bytes, float]:
    """What comes until the server closes, and the seconds until then."""
    connection.settimeout(timeout)
    start, found = time.monotonic(), b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found, time.monotonic() - start


def assert_answers(server: Server) -> None:
    """`/health` and a request that is scored, each on a connection of its own."""
    start = time.monotonic()
    assert server.ask("GET", "/health", token=None, timeout=SOON).json["status"] == "ok"
    answer = server.score([free("ooo", principles=[])], timeout=SOON)
    assert answer.status == 200, answer.body
    assert answer.json["rewards"][0]["raw"]["moody"] == 3 / 8
    assert time.monotonic() - start < 2 * SOON


BEGINNINGS = {
    "nothing": b"",
    "half a line": b"GET /",
    "half a head": b"POST /v1/rewards HTTP/1.1\r\nHost: x\r\n",
    "a body that nobody reads": b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
}


@pytest.mark.parametrize("sent", BEGINNINGS.values(), ids=BEGINNINGS.keys())
def test_5000_half_open_connections_keep_nobody_out(sent: bytes, tmp_path: Path, bytes_world: Path) -> None:
    with descriptors(HALF_OPEN + 1000), ExitStack() as stack:
        server = stack.enter_context(Server.of(bytes_world, tmp_path, "--head-seconds", "600"))
        for number in range(HALF_OPEN):
            connection = stack.enter_context(connect(server))
            connection.sendall(sent)
            if number % 1000 == 999:
                assert_answers(server)  # while they come
        for _ in range(5):
            assert_answers(server)  # while they stay
        waiting = "idle" if b"\r\n\r\n" in sent else "head"
        assert 3000 < server.metric(f'salmon_connections{{state="{waiting}"}}') <= 4097
        assert server.metric(f'salmon_connections_cut_total{{state="{waiting}"}}') > 800  # the oldest
        with ThreadPoolExecutor(16) as pool:
            assert {answer.status for answer in pool.map(server.score, [[free("o")]] * 64)} == {200}
    assert "Traceback" not in server.log.read_text()


def test_few_descriptors_are_enough(tmp_path: Path, bytes_world: Path) -> None:
    """The soft limit is raised; the hard one is kept, and connections stay below it."""
    code = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512)); "
        "os.execv(sys.executable, [sys.executable, '-m', 'salmon_core', *sys.argv[1:]])"
    )
    with ExitStack() as stack, descriptors(2500):
        server = stack.enter_context(Server([sys.executable, "-c", code, "serve", str(bytes_world)], tmp_path))
        limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE) if sys.platform == "linux" else (512, 512)
        assert limits == (512, 512)
        for number in range(1500):
            stack.enter_context(connect(server)).sendall(b"GET /")
            if number % 300 == 299:
                assert_answers(server)
    assert "Too many open files" not in server.log.read_text()


@pytest.fixture(scope="module")
def hurried(bytes_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with short deadlines and few places."""
    options = ("--head-seconds", "1", "--body-seconds", "1.5", "--max-connections", "64", "--raw")
    with Server.of(bytes_world, tmp_path_factory.mktemp("hurried"), *options) as started:
        yield started


def drip(connection: socket.socket, part: bytes) -> tuple[bytes, float]:
    """Sends a byte at a time until the server closes."""
    start = time.monotonic()
    connection.settimeout(0.1)
    found = b""
    while time.monotonic() - start < 30:
        try:
            connection.sendall(part)
            got = connection.recv(4096)
            found += got
            if not got:
                break
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    return found, time.monotonic() - start


@pytest.mark.parametrize("part", [b"x", b""], ids=["byte by byte", "not at all"])
def test_a_slow_head_has_a_deadline(hurried: Server, part: bytes) -> None:
    with connect(hurried) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-More: ")
        found, seconds = drip(connection, part) if part else until_closed(connection, 30)
    assert found.startswith(b"HTTP/1.1 408"), found
    assert 0.9 < seconds < 4


def test_a_connection_without_a_request_has_a_deadline(hurried: Server) -> None:
    with connect(hurried) as connection:
        found, seconds = until_closed(connection, 30)
    assert (found, 0.9 < seconds < 4) == (b"", True)


def test_the_head_after_an_answer_has_a_deadline(hurried: Server) -> None:
    with connect(hurried) as connection:
        ask_health(connection)
        time.sleep(1.5)  # between two requests a client has longer
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /he")
        found, seconds = until_closed(connection, 30)
    assert found.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 408" in found
    assert 0.9 < seconds < 4


@pytest.mark.parametrize("path", ["/v1/rewards", "/get_reward/{token}"])
@pytest.mark.parametrize("part", [b" ", b""], ids=["byte by byte", "not at all"])
def test_a_slow_body_has_a_deadline(hurried: Server, path: str, part: bytes) -> None:
    with connect(hurried) as connection:
        connection.sendall(head(hurried, 100_000, path.format(token=hurried.token)) + b"{")
        found, seconds = drip(connection, part) if part else until_closed(connection, 30)
    assert found.startswith(b"HTTP/1.1 408")
    assert b"the body took more than 1.5 s to arrive" in found
    assert 1.4 < seconds < 5


def test_slow_scoring_has_no_deadline(hurried: Server) -> None:
    """Longer than those of head and body together, whatever else comes meanwhile."""
    body = json.dumps({"rollouts": [free("SLEEP5 oo", principles=[])]}).encode()
    with ExitStack() as stack:
        asked = stack.enter_context(connect(hurried))
        asked.sendall(head(hurried, len(body)) + body)
        for _ in range(200):
            stack.enter_context(connect(hurried)).sendall(b"GET /")
        assert hurried.ask("GET", "/health", token=None, timeout=SOON).status == 200
        assert b'"moody":0.25' in until_answered(asked)


def test_bodies_and_idle_connections_have_their_share(hurried: Server) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connect(hurried)).sendall(head(hurried, 1000) + b"{")
        assert_answers(hurried)
        for _ in range(200):
            connection = stack.enter_context(connect(hurried))
            ask_health(connection)
        assert_answers(hurried)


def test_answers_that_nobody_takes(hurried: Server) -> None:
    """Requests one behind the other, and no answer read: the connection ends, and the server keeps little."""
    before = hurried.memory()
    with connect(hurried) as connection:
        connection.settimeout(12)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        start = time.monotonic()
        ended = False
        while not ended and time.monotonic() - start < 40:
            try:
                connection.sendall(request * 1000)
            except (BrokenPipeError, ConnectionResetError):
                ended = True
        assert ended
    assert hurried.memory() - before < 40 << 20
    assert_answers(hurried)


def test_more_requests_than_may_wait_are_refused(hurried: Server) -> None:
    """And `/health` is answered all the same; those that wait get their answers."""
    with ThreadPoolExecutor(70) as pool:
        first = pool.submit(hurried.score, [free("SLEEP3")])
        time.sleep(0.5)
        answers = [pool.submit(hurried.score, [free("o", principles=[])]) for _ in range(60)]
        time.sleep(1.0)
        assert hurried.ask("GET", "/health", token=None, timeout=SOON).status == 200
        statuses = [each.result().status for each in answers]
        assert first.result().status == 200
    assert set(statuses) == {200, 503}
    assert 25 <= statuses.count(200) <= 48


# -- the bookkeeping ---------------------------------------------------------------------------------------------------


class Fake:
    def __init__(self) -> None:
        self.cuts: list[tuple[State, bool]] = []

    def cut(self, state: State, *, late: bool) -> None:
        self.cuts.append((state, late))


def test_the_oldest_go_first() -> None:
    async def go() -> None:
        kept: list[Connection] = []
        found = Connections(Limits(connections=8))
        fakes = [Fake() for _ in range(12)]
        for fake in fakes[:3]:
            found.enter(fake, State.HEAD)
            found.enter(fake, State.ANSWER)
        for fake in fakes[3:]:
            found.enter(fake, State.HEAD)
            kept.append(fake)
        assert [bool(fake.cuts) for fake in fakes] == [*[False] * 3, *[True] * 5, *[False] * 4]
        assert found.count(State.HEAD) == 4
        for fake in fakes:
            found.leave(fake)
            found.leave(fake)
        assert sum(found.count(state) for state in State) == 0

    asyncio.run(go())


@pytest.mark.parametrize("available", [20, 64, 256, 1024, 4096, 20_000, 1 << 20])
def test_limits_stay_below_the_descriptors(available: int) -> None:
    limits = Limits().within(available)
    assert 1 <= limits.connections <= 8192
    if available >= 256:
        assert limits.connections + limits.backlog + 128 <= available
    assert limits.share(State.ANSWER) + limits.share(State.BODY) < limits.connections


def test_the_limit_on_files_is_raised() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (300, 900)); "
        "from salmon_serve.connections import raise_descriptor_limit as up; "
        "print(up(), up(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["900", "900", "900", "900"]
