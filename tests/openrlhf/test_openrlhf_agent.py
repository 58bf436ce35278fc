"""The executor's way to the server, in OpenRLHF's interpreter, against servers that misbehave."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openrlhf_world import PYTHON, interpreter

from salmon_openrlhf.backend import OUTSIDE

pytestmark = pytest.mark.openrlhf

_ASK = """
import asyncio, importlib.util, json, sys
spec = importlib.util.spec_from_file_location("agent_module", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
executor = module.AgentExecutor()
item = {"id": "0-3-0-x", "row": 3, "completion_ids": [5, 1], "stopped": True, "rollout_index": 0}
try:
    print("GOT", json.dumps(asyncio.run(executor.server.score(item))))
except module.RewardFailed as error:
    print("FAILED", error)
"""


@contextmanager
def server(folder: Path, answers: list[Any]) -> Iterator[list[Any]]:
    """Gives one answer after the other: (status, headers, body), or None to hang up. -> what was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"], body, time.monotonic()))
            answer = answers[min(len(asked), len(answers)) - 1]
            if answer is None:
                self.connection.close()
                return
            status, headers, values = answer
            text = json.dumps(values).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            return

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    import os

    write_ready(folder, f"http://127.0.0.1:{found.server_port}", os.getpid())
    try:
        yield asked
    finally:
        found.shutdown()
        found.server_close()


def write_ready(folder: Path, url: str, pid: int) -> None:
    (folder / "services").mkdir(exist_ok=True)
    (folder / "services" / "reward.json").write_text(json.dumps({"url": url, "token": "secret", "pid": pid}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copyfile(OUTSIDE / "agent.py", tmp_path / "agent.py")
    (tmp_path / "agent.json").write_text(json.dumps({"rows_per_engine": 4, "first": 0, "log_rollouts_every": 0}))
    return tmp_path


def ask(folder: Path) -> str:
    argv = [str(interpreter(folder)), "-c", _ASK, str(folder / "agent.py")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(line for line in done.stdout.splitlines() if line.startswith(("GOT ", "FAILED ")))


REWARD = {
    "id": "0-3-0-x",
    "total": 1.5,
    "components": {"rm": 1.5},
    "raw": {"rm": 1.5},
    "principles": [],
    "truncated": 0,
    "fallbacks": [],
}


def test_it_waits_and_asks_again_with_the_same_id(folder: Path) -> None:
    answers = [
        (429, {"Retry-After": "2"}, {"error": {"message": "full"}}),
        None,
        (503, {}, {"error": {"message": "stopping"}}),
        (200, {}, {"rewards": [REWARD]}),
    ]
    with server(folder, answers) as asked:
        said = ask(folder)
    assert json.loads(said.removeprefix("GOT ")) == REWARD
    assert len(asked) == 4
    assert all(path == "/v1/rewards" and token == "Bearer secret" for path, token, _, _ in asked)
    bodies = [body for _, _, body, _ in asked]
    assert bodies == bodies[:1] * 4
    assert bodies[0]["rollouts"][0]["row"] == 3
    assert asked[1][3] - asked[0][3] >= 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            (500, {}, {"error": {"message": "out of order", "component": "words", "owner": "my-plugin 1.0"}}),
            "words of my-plugin 1.0: out of order",
        ),
        ((401, {}, {"error": {"message": "no token, or a wrong one"}}), "HTTP 401"),
        ((409, {}, {"error": {"message": "another content"}}), "HTTP 409"),
        ((200, {}, {"rewards": [{**REWARD, "id": "other"}]}), "answered for other"),
        ((200, {}, {"rewards": [{**REWARD, "total": float("nan")}]}), "the reward of row 3 is nan"),
        ((200, {}, {"rewards": []}), "cannot be read"),
    ],
)
def test_what_cannot_be_a_reward_fails(folder: Path, answer: Any, reason: str) -> None:
    with server(folder, [answer]):
        said = ask(folder)
    assert said.startswith("FAILED ")
    assert reason in said


def test_it_gives_up_when_the_server_has_died(folder: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    write_ready(folder, "http://127.0.0.1:9", gone.pid)
    assert "the reward server died" in ask(folder)
    assert PYTHON
