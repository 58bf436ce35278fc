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

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from openrlhf_world import PYTHON, interpreter, minnow, parsed, training_step

from salmon_core.api import ComponentSpec, Job, Limits, ModelSpec, RewardSpec
from salmon_core.kit import foreign
from salmon_openrlhf.backend import OUTSIDE, OpenRLHFBackend

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
    for name, text in foreign.copy().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "agent.json").write_text(json.dumps({"rows_per_engine": 4, "first": 0}))
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
    "by_principle": {},
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


_IDS = """
import asyncio, importlib.util, json, sys
from argparse import Namespace
from datasets import load_dataset
from openrlhf.datasets import PromptDataset
from transformers import AutoTokenizer

settings = json.loads(sys.argv[1])
spec = importlib.util.spec_from_file_location("agent_module", settings["train"]["agent_func_path"])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
data = settings["data"]
tokenizer = AutoTokenizer.from_pretrained(settings["actor"]["model_name_or_path"])
strategy = Namespace(args=Namespace(data=Namespace(**data)), is_rank_0=lambda: False)
rows = load_dataset("parquet", data_files=data["prompt_dataset"], split="train")
prompts = PromptDataset(rows, tokenizer, strategy, input_template=data["input_template"])
seen = {}


class Engine:
    async def generate(self, ids, params, multi_modal_data=None):
        seen[self.row] = ids
        return Namespace(outputs=[Namespace(token_ids=[5, tokenizer.eos_token_id], finish_reason="stop")])


async def score(item):
    return {"total": 0.0, "components": {}, "truncated": 0, "fallbacks": [], "by_principle": {}}


async def main():
    executor, engine = module.AgentExecutor(), Engine()
    executor.server.score = score
    params = Namespace(max_tokens=settings["rollout"]["max_new_tokens"], logprobs=None)
    for _, prompt, label, images in prompts:
        engine.row = int(label)
        await executor.execute(prompt, label, params, data["max_len"], tokenizer, engine, images)

asyncio.run(main())
print("IDS", json.dumps(seen))
"""


def test_both_trainers_read_the_same_prompt_ids(tmp_path: Path) -> None:
    """From the job's rows through `prepare`, OpenRLHF's own parser, prompt data set and executor, to vLLM's door."""
    from salmon_trl.common import load_tokenizer
    from salmon_trl.data import encode

    policy = ModelSpec(str(minnow(tmp_path)))
    python = interpreter(tmp_path)
    tokenizer = load_tokenizer(policy)
    texts = [f"{tokenizer.bos_token or ''}name a color {word} <image> {{x}}\n" for word in ("", "red", "ü", "of  a")]
    rows = [{"row": 7 - number, "prompt": text, "messages": []} for number, text in enumerate(texts * 2)]
    folder = tmp_path / "train-policy"
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "rl.parquet")
    options = {"generation_batch_size": 8, "total_batch_size": 8, "num_generations": 1, "max_completion_length": 56}
    options |= {"per_device_train_batch_size": 8, "max_prompt_length": 64, "attn_implementation": "eager"}
    spec = RewardSpec(
        ComponentSpec("templates", "t", "dist"), Limits(), ComponentSpec("engines", "e", "dist"), None, policy
    )
    job = Job(
        stage="train-policy",
        algorithm="reinforce++",
        folder=str(folder),
        model=policy,
        data={"train": str(folder / "rl.parquet")},
        seed=1,
        options=options,
        reward=spec,
        python=str(python),
    )
    plan = OpenRLHFBackend().plan(job)
    for name, text in plan.files.items():
        (folder / name).write_text(text)
    subprocess.run(plan.steps[0].argv, cwd=folder, check=True)
    settings = parsed(*training_step(plan), python)
    done = subprocess.run([str(python), "-c", _IDS, json.dumps(settings)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("IDS ")]
    wanted = dict(zip([str(row["row"]) for row in rows], encode(tokenizer, texts * 2), strict=True))
    assert json.loads(line.removeprefix("IDS ")) == wanted
