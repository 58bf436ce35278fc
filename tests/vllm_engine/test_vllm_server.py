"""The engine `openai` at a real server of vLLM, beside the engine `transformers` on the same model in float32."""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import below, until
from vllm_client import remote
from vllm_world import PYTHON, model, prompts, requests

from salmon_core.api import ModelSpec, PrefixRequest, Sampling
from salmon_core.errors import SalmonError
from salmon_core.run.processes import Running
from salmon_transformers.engine import TransformersEngine

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
HERE = Path(__file__).resolve().parent
SERVED = ModelSpec("served")
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": "",
}


@dataclass
class Server:
    """A real one.

    Attributes:
        folder: the model's.
        url: up to its version.
        log: what it prints, with a line for each request.
    """

    folder: Path
    url: str
    log: Path

    def options(self, api: str, **more: Any) -> dict[str, Any]:
        known = {"tokenizer": str(self.folder)} if api == "completions" else {}
        return {"base_url": self.url, "api": api, **known, **more}

    @property
    def answered(self) -> int:
        """Requests that it answered whole."""
        return len(re.findall(r'POST /v1/(chat/)?completions HTTP/1.1" 200', self.log.read_text(errors="replace")))


def trained(folder: Path, source: Path) -> Path:
    """Of a model, one that has learnt to answer with a choice: `a`, `b`, or a choice with a space before it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    network = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    texts = [text for request in requests(6) for text in request.texts] + [text for _, text in prompts(6)]
    choices = [tokenizer.encode(each)[0] for each in ("a", "b", " a", " b")]
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(40):
        loss: Any = 0.0
        for number, text in enumerate(texts):
            logits = network(torch.tensor([tokenizer.encode(text)])).logits[0, -1:]
            loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor([choices[(step + number) % 4]]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    work = tmp_path_factory.mktemp("server")
    folder = trained(work / "model", make())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", "served"]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    argv += ["--generation-config", "vllm"]
    made = Server(folder, f"http://127.0.0.1:{port}/v1", work / "log.txt")
    with Running(argv, env=ENVIRONMENT, cwd=work, log=made.log) as running:

        def up() -> bool:
            assert running.poll() is None, made.log.read_text(errors="replace")[-3000:]
            try:
                with urllib.request.urlopen(f"{made.url}/models", timeout=2) as reply:
                    return bool(reply.status == 200)
            except OSError:
                return False

        until(up, 180)
        yield made


def test_choices_by_completions_are_those_of_transformers(server: Server) -> None:
    """Each log-probability, though the same choice with a space before it is likely as well."""
    import torch
    from transformers import AutoModelForCausalLM

    asked = requests(5)
    for extra in ({}, {"return_tokens_as_token_ids": True}):
        with remote(**server.options("completions", extra=extra)).chooser(SERVED) as opened:
            found = [pair for row in opened.choose(asked, ("a", "b")) for pair in row]
            codec = opened.codec
            assert opened.silence.unlisted == 0
        network = AutoModelForCausalLM.from_pretrained(server.folder, dtype=torch.float32)
        ids = [codec.encode(choice)[0] for choice in ("a", "b", " a")]
        for text, pair in zip((text for request in asked for text in request.texts), found, strict=True):
            with torch.no_grad():
                logits = network(torch.tensor([codec.encode(text)])).logits[0, -1]
            a, b, spaced = torch.log_softmax(logits, -1)[ids].tolist()
            assert pair == pytest.approx((a, b), abs=1e-3)
            assert spaced > -4, "it would show if it were added"


def test_choices_by_chat_are_those_of_transformers(server: Server) -> None:
    """In a conversation, whose answer has begun; with and without a space, a choice is the same there."""
    import torch
    from transformers import AutoModelForCausalLM

    extra = {"continue_final_message": True, "add_generation_prompt": False}
    made = remote(**server.options("chat", extra=extra))
    question, begun = "Question 1: where does the river run?", "[[verdict]]\n"
    text = made.codec(SERVED).chat([{"role": "user", "content": question}]) + begun
    with made.chooser(SERVED) as opened:
        ((found,),) = opened.choose([PrefixRequest(text, ("",))], ("a", "b"))
    with TransformersEngine().chooser(model(server.folder)) as plain:
        codec = plain.codec
    ids = torch.tensor([codec.encode(f"<|user|>{question}<|end|><|assistant|>{begun}")])
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(server.folder, dtype=torch.float32)(ids).logits[0, -1]
    likely = torch.softmax(logits, -1)
    listed = set(likely.topk(20).indices.tolist())
    wanted = []
    for choice in ("a", "b"):
        both = [each for name in (choice, f" {choice}") if (each := codec.encode(name)[0]) in listed]
        wanted.append(float(likely[both].sum().log()))
    assert found == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_greedy_completions_are_those_of_transformers(server: Server, api: str) -> None:
    asked = prompts(6)
    sampling = Sampling(temperature=0, max_new_tokens=24, samples=1, stop=("river",))
    with TransformersEngine().sampler(model(server.folder)) as plain:
        wanted = {each.prompt_id: each for each in plain.sample(asked, sampling)}
    made = remote(**server.options(api))
    codec = made.codec(SERVED)
    texts = [(prompt, text if api == "completions" else codec.chat(prompt.messages)) for prompt, text in asked]
    with made.sampler(SERVED) as opened:
        found = opened.sample(texts, sampling)
    for each in found:
        # Half a character at the end of a random text is shown in one way or the other.
        assert each.text.rstrip("\ufffd") == wanted[each.prompt_id].text.rstrip("\ufffd")
        assert each.stopped == wanted[each.prompt_id].stopped
    noise = Sampling(temperature=1.0, max_new_tokens=24, samples=2, seed=4)
    with made.sampler(SERVED) as opened:
        first, again = opened.sample(texts, noise), opened.sample(texts, noise)
    assert first == again
    assert len({each.text for each in first}) == 12


def test_what_the_server_refuses_is_told(server: Server) -> None:
    with (
        remote(**server.options("chat")).sampler(ModelSpec("other")) as opened,
        pytest.raises(SalmonError, match="status 404: The model `other` does not exist") as caught,
    ):
        opened.sample(prompts(1), Sampling(samples=1))
    assert server.url in str(caught.value)
    with (
        remote(**server.options("completions")).sampler(SERVED) as opened,
        pytest.raises(SalmonError, match="status 400: max_tokens=5000 cannot be"),
    ):
        opened.sample(prompts(1), Sampling(samples=1, max_new_tokens=5000))


def test_a_killed_client_asks_for_nothing_twice(server: Server, tmp_path: Path) -> None:
    cache, count = tmp_path / "answers.sqlite", 12
    options = server.options("completions", cache=str(cache), concurrency=3)
    argv = [sys.executable, str(HERE / "vllm_client.py"), json.dumps(options), str(count)]
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    client = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL)
    until(lambda: _kept(cache) >= 5, 60)
    client.kill()
    client.wait()
    kept = _kept(cache)
    assert 5 <= kept < 2 * count
    # The server is done with what was under way, or has dropped it.
    before = -1
    while before != (before := server.answered):
        time.sleep(1)
    out = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=True).stdout
    assert server.answered - before == 2 * count - kept
    again = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=True).stdout
    assert again == out
    assert server.answered - before == 2 * count - kept
    assert len(json.loads(out)) == 2 * count
    assert not [each for each in below() if "vllm_client.py" in " ".join(each.cmdline())]


def _kept(cache: Path) -> int:
    if not cache.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{cache}?mode=ro", uri=True) as file:
            return int(file.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:  # it is being made
        return 0
