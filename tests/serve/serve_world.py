"""Rewards to serve, real servers in processes of their own, and plain HTTP to ask them."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core_world import SALMON, environment, make_folder

#: a bonus that does what the completion says
MOODY = '''
"""A bonus for tests: slow or broken on request."""
import time
from salmon_core import Component, hookimpl


class Moody:
    def score_one(self, rollout):
        if "BOOM" in rollout.completion:
            raise RuntimeError("the bonus is out of order")
        if "SLEEP" in rollout.completion:
            time.sleep(float(rollout.completion.split("SLEEP")[1].split()[0]))
        return rollout.completion.count("o") / 8


@hookimpl
def salmon_bonuses():
    yield Component("moody", Moody, "does what the completion says")
'''
_NUMBERS = itertools.count()


def make_bytes_world(folder: Path, **reward: Any) -> Path:
    """A configuration with a byte-counting reward model and two bonuses, and 40 rows; returns the configuration."""
    from trl_world import write

    section = {"principles": "rules.yaml", "show": 1, "engine": "bytes", "bonuses": ["letters", "moody"], **reward}
    config = make_folder(
        folder,
        plugins=["world.py", "moody.py"],
        reward_model={"path": "./rm", "backend": "toy"},
        reward=section,
    )
    (folder / "moody.py").write_text(MOODY)
    (folder / "rm").mkdir(exist_ok=True)
    (folder / "rm" / "config.json").write_text("{}")
    write(folder / "rows.parquet", [row_of(i) for i in range(40)])
    return config


def row_of(number: int) -> dict[str, Any]:
    text = f"Question number {number}?"
    return {
        "row": number,
        "prompt_id": f"p{number}",
        "prompt": f"<|user|>{text}<|assistant|>",
        "messages": [{"role": "user", "content": text}],
        "category": "general",
        "principles": [{"name": "kind", "text": "The answer is kind.", "negated": False}],
    }


def make_bytes_job(folder: Path, config: Path, **options: Any) -> Path:
    """A job with a bonus of `config`'s world and its rows, and no reward model; needs no torch."""
    from trl_world import job, reward_spec

    from salmon_core.api import BonusSpec, ComponentSpec

    world, toy, moody = config.parent, str(config.parent / "world.py"), str(config.parent / "moody.py")
    spec = reward_spec(
        Path(moody),
        None,
        world / "policy",
        file_plugins=(toy, moody),
        engine=ComponentSpec("engines", "bytes", toy, {"scale": 1.0}),
        template=ComponentSpec("templates", "toy", toy),
        bonuses=(BonusSpec("moody", 2.0, ComponentSpec("bonuses", "moody", moody)),),
    )
    data = {"train": str(world / "rows.parquet")}
    made = job("train-policy", folder, world / "policy", data, reward=spec, options=options)
    (folder / "job.json").write_text(made.to_json())
    return folder / "job.json"


def make_tiny_job(folder: Path) -> Path:
    """A job with a real policy, a real reward model of two layers, a bonus, an intervention and 40 rows."""
    from tiny_models import llama_config, save_model
    from transformers import LlamaForSequenceClassification
    from trl_world import job, make_policy, make_tokenizer, reward_spec, rl_rows, write, write_bonus

    from salmon_core.api import Limits, ModelSpec, ScheduledPrinciple
    from salmon_core.records import ShownPrinciple

    policy = make_policy(folder / "policy")
    tokenizer = make_tokenizer(pad="<pad>")
    config = llama_config(tokenizer, num_labels=1, initializer_range=0.2)
    save_model(folder / "rm", config, LlamaForSequenceClassification, tokenizer, seed=5)
    model = ModelSpec(str(folder / "rm"), dtype="float32", device="cpu")
    rows = write(folder / "rl_prompts.parquet", rl_rows(40))
    spec = reward_spec(
        write_bonus(folder / "words.py"),
        model,
        policy,
        limits=Limits(60, 120, 400),
        interventions=(ScheduledPrinciple(ShownPrinciple("no shouting", "No shouting."), start=3),),
    )
    stage = folder / "train-policy"
    options = {"log_rollouts_every": 3}
    made = job("train-policy", stage, policy, {"train": rows}, reward=spec, options=options)
    (stage / "job.json").write_text(made.to_json())
    return stage / "job.json"


def by_row(number: int, *, rng: random.Random, top: int, eos: int) -> dict[str, Any]:
    """A rollout as a trainer would report it."""
    ids = [rng.randrange(5, top) for _ in range(rng.randint(0, 60))]
    stopped = rng.random() < 0.7
    return {
        "row": rng.randrange(40),
        "completion_ids": [*ids, eos] if stopped else ids,
        "stopped": stopped,
        "rollout_index": number % 6,
    }


def free(text: str, **values: Any) -> dict[str, Any]:
    return {"id": f"t{next(_NUMBERS)}", "prompt": "What is it?", "completion": text, **values}


class Answer:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return dict(self.json["error"])

    @property
    def totals(self) -> list[float]:
        assert self.status == 200, self.body
        return [reward["total"] for reward in self.json["rewards"]]


class Server:
    """A process that serves; leaving the context asks it to stop, and kills it if it does not."""

    def __init__(self, argv: Sequence[str], folder: Path, env: Mapping[str, str] | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.ready, self.log = folder, folder / "ready.json", folder / "log.txt"
        self.argv = [*argv, "--ready-file", str(self.ready)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, cwd=folder, env={**environment(), **(env or {})}, stdout=log, stderr=log
            )

    @classmethod
    def of(cls, config: Path, folder: Path, *options: str, env: Mapping[str, str] | None = None) -> Server:
        """`salmon serve` of a configuration in a process of its own."""
        return cls(
            [str(SALMON), "serve", str(config), "--rows", str(config.parent / "rows.parquet"), *options], folder, env
        )

    def __enter__(self) -> Server:
        try:
            self.wait_ready()
        except BaseException:
            self.process.kill()
            raise
        return self

    def wait_ready(self, timeout: float = 120) -> None:
        deadline = time.monotonic() + timeout
        while not self.ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "not ready"
            time.sleep(0.05)
        values = json.loads(self.ready.read_text())
        self.url, self.token, self.pid = values["url"], values["token"], values["pid"]
        self.host, self.port = str(urlsplit(self.url).hostname), int(urlsplit(self.url).port or 0)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """One request on a connection of its own; `token` None sends none, "" the right one."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        sent = {} if token is None else {"Authorization": f"Bearer {token or self.token}"}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def score(self, rollouts: Sequence[Mapping[str, Any]], **options: Any) -> Answer:
        return self.ask("POST", "/v1/rewards", {"rollouts": rollouts}, **options)

    def raw(self, query: str, prompt: str, label: Any = None, **options: Any) -> Answer:
        body = {"query": [query], "prompts": [prompt], "labels": [label]}
        return self.ask("POST", f"/get_reward/{self.token}", body, token=None, **options)

    def metric(self, name: str) -> float:
        """The value of a series, its labels included in the name."""
        for line in self.ask("GET", "/metrics").body.decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    def memory(self) -> int:
        """Resident bytes."""
        import psutil

        return int(psutil.Process(self.pid).memory_info().rss)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()


def python(*argv: str) -> list[str]:
    return [sys.executable, *argv]
