"""Reward models, questions and servers for `serve.py`: ours, and OpenRLHF's `serve_rm`."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from salmon_core.api import ComponentSpec, Job, Limits, ModelSpec, RewardSpec
from salmon_core.records import Rollout
from salmon_core.reward.rendering import Renderer
from salmon_core.reward.reward import Reward
from salmon_judge.template import STANDARD
from salmon_transformers.engine import TransformersEngine

SIZES = {  # hidden, layers, vocabulary; about 0.5 and 11 million parameters
    "minnow": (128, 2, 1024),
    "11M": (320, 8, 4096),
}
SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu", "pa", "ri", "so", "ta", "ve", "xo", "zu")
LIMITS = Limits(prompt=128, completion=400, total=640)
POOL = 128
RULE = {"name": "kind", "text": "The answer is kind.", "negated": False}


def words(rng: random.Random, tokens: int) -> str:
    """About as many tokens as asked for."""
    return " ".join(rng.choice(SYLLABLES) + rng.choice(SYLLABLES) for _ in range(tokens))


@dataclass
class World:
    """A reward model, questions for it, and their answers.

    Attributes:
        items: what ours is asked.
        texts: the rendered texts, which theirs is asked.
        scores: of each, computed in this process.
    """

    folder: Path
    job: Path
    tokens: int
    items: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)


def make_world(folder: Path, size: str, dtype: str) -> World:
    """Everything both servers need."""
    hidden, layers, vocabulary = SIZES[size]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=["</s>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    english = [STANDARD.reward, STANDARD.principle, STANDARD.score, RULE["text"]] * 50
    backend.train_from_iterator([*(words(random.Random(i), 400) for i in range(50)), *english], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=hidden * 8 // 3, num_hidden_layers=layers,
        num_attention_heads=hidden // 32, max_position_embeddings=1024, num_labels=1, initializer_range=0.05,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    # Weights that every dtype holds alike.
    model = LlamaForSequenceClassification(config).to(torch.bfloat16).to(getattr(torch, dtype))
    model.save_pretrained(folder / "rm")
    tokenizer.save_pretrained(folder / "rm")
    rng = random.Random(1)
    rows = [
        {"row": i, "prompt_id": f"p{i}", "prompt": "", "messages": [{"role": "user", "content": words(rng, 25)}],
         "category": "general", "principles": [RULE]}
        for i in range(POOL)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "rl_prompts.parquet")
    spec = ModelSpec(str(folder / "rm"), dtype=dtype, device="cpu")
    reward_spec = RewardSpec(
        template=ComponentSpec("templates", "standard", "salmon-judge"),
        limits=LIMITS,
        engine=ComponentSpec("engines", "transformers", "salmon-transformers"),
        model=spec,
        policy=spec,
    )
    job = Job("train-policy", "grpo", str(folder), spec, {"train": str(folder / "rl_prompts.parquet")}, 0,
              reward=reward_spec)  # fmt: skip
    (folder / "job.json").write_text(job.to_json())
    world = World(folder, folder / "job.json", 0)
    with TransformersEngine().scorer(spec) as scorer:
        codec = scorer.codec
        reward = Reward.from_spec(reward_spec, scorer=scorer)
        renderer = Renderer(STANDARD, codec, others=[codec], limits=LIMITS)
        for row in rows:
            ids = codec.encode(words(rng, rng.randint(40, 100)))
            item = {"row": row["row"], "completion_ids": [*ids, codec.eos_id], "stopped": True, "rollout_index": 0}
            text = codec.decode(ids)
            rollout = Rollout.from_row(row, text, completion_ids=item["completion_ids"], stopped=True, rollout_index=0)
            world.items.append(item)
            world.texts.append(renderer.reward(rollout.messages, text, [rollout.principles]).texts[0])
            # One by one: what a text scores does not depend on what it was batched with, but for rounding.
            world.scores.append(reward([rollout])[0].total)
        world.tokens = sum(len(codec.encode(text)) for text in world.texts) // len(world.texts)
    return world


# -- the servers -------------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A running server.

    Attributes:
        request: the bytes of question `number`; `key` makes an id of its own.
        score: the score in an answer.
    """

    name: str
    process: subprocess.Popen[bytes]
    host: str
    port: int
    request: Callable[[int, str], bytes]
    score: Callable[[dict[str, Any], str], float]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu(self) -> float:
        """Seconds it has computed; tells more than wall time where a machine is shared."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)


def _http(path: str, port: int, token: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def start_ours(world: World) -> Server:
    ready = world.folder / "ready.json"
    ready.unlink(missing_ok=True)
    with (world.folder / "ours.log").open("wb") as log:
        argv = [sys.executable, "-m", "salmon_serve", str(world.job), "--ready-file", str(ready)]
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=world.folder)
    while not ready.exists():
        if process.poll() is not None:
            raise SystemExit((world.folder / "ours.log").read_text())
        time.sleep(0.1)
    values = json.loads(ready.read_text())
    port = int(values["url"].rsplit(":", 1)[1])

    def request(number: int, key: str) -> bytes:
        item = {"id": key, **world.items[number]}
        return _http("/v1/rewards", port, values["token"], {"rollouts": [item]})

    def score(answer: dict[str, Any], key: str) -> float:
        (reward,) = answer["rewards"]
        if reward["id"] != key:
            raise SystemExit(f"swapped: asked {key}, answered {reward['id']}")
        return float(reward["total"])

    return Server("ours", process, "127.0.0.1", port, request, score)


def start_theirs(world: World, python: str, dtype: str) -> Server:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # It knows no float32: there its model is widened after loading.
    wide = (
        "import openrlhf.models as m; make = m.get_llm_for_sequence_regression; "
        "m.get_llm_for_sequence_regression = lambda *a, **k: make(*a, **k).float(); "
    )
    code = f"import runpy, sys; sys.argv = sys.argv[1:]; {wide if dtype == 'float32' else ''}"
    code += "runpy.run_module('openrlhf.cli.serve_rm', run_name='__main__', alter_sys=True)"
    short = "fp16" if dtype == "float16" else "bf16"
    argv = [python, "-c", code, "serve_rm", "--reward.model_name_or_path", str(world.folder / "rm"), "--host",
            "127.0.0.1", "--port", str(port), "--ds.param_dtype", short, "--ds.attn_implementation", "sdpa",
            "--data.max_len", "1024"]  # fmt: skip
    with (world.folder / "theirs.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=world.folder)
    deadline = time.monotonic() + 600
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise SystemExit((world.folder / "theirs.log").read_text()[-3000:]) from None
            time.sleep(0.2)

    def request(number: int, key: str) -> bytes:
        text = world.texts[number]
        return _http("/get_reward", port, "none", {"query": [text], "prompts": [text], "labels": [key]})

    return Server("openrlhf", process, "127.0.0.1", port, request, lambda answer, _: float(answer["rewards"][0]))
