"""Our reward server beside OpenRLHF's `serve_rm`: the same reward model, texts, dtype and clients, in alternation.

    python benchmarks/serve.py                                     # ours alone, two sizes of model
    python benchmarks/serve.py --openrlhf-python PYTHON            # both; an interpreter that has openrlhf 0.11
    python benchmarks/serve.py --rounds 0 --saturate 300           # only under full load, every answer checked

Each client keeps one connection and asks for one sample at a time. Ours is asked by row and token ids, as our backends
ask it: it decodes, renders and tokenizes. Theirs is given the very text that ours renders. Under full load each answer
is compared with the score that its own text has in this process; a lost, doubled or swapped one ends with exit code 1.
Weights are random: speed does not depend on them. An interpreter whose openrlhf runs without a GPU may need variables
of its own; set them before the command, they are passed on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from salmon_core.interfaces import Job, ModelSpec
from salmon_core.lookup import find_template
from salmon_core.plugins import Registry
from salmon_core.rendering import Limits, Renderer
from salmon_core.reward import Reward
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
    template = find_template(Registry.discover(), "standard")
    english = [template.reward, template.principle, template.score, RULE["text"]] * 50
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
    reward_spec: dict[str, Any] = {
        "file_plugins": [], "template": "standard", "limits": asdict(LIMITS),
        "engine": {"name": "transformers", "options": {}},
        "model": asdict(spec), "policy": asdict(spec), "rm_weight": 1.0, "combine": "joint", "weights": {},
        "interventions": [], "bonuses": [], "on_failure": "stop",
    }  # fmt: skip
    job = Job("train-policy", "grpo", str(folder), spec, {"train": str(folder / "rl_prompts.parquet")}, 0,
              reward=reward_spec)  # fmt: skip
    (folder / "job.json").write_text(job.to_json())
    engine = TransformersEngine()
    engine.load(spec, "reward")
    reward = Reward.from_spec(reward_spec, engine=engine)
    renderer = Renderer(template, engine.codec, others=[engine.codec], limits=LIMITS)
    world = World(folder, folder / "job.json", 0)
    rollouts = []
    for row in rows:
        ids = engine.codec.encode(words(rng, rng.randint(40, 100)))
        item = {"row": row["row"], "completion_ids": [*ids, engine.codec.eos_id], "stopped": True, "rollout_index": 0}
        text = engine.codec.decode(ids)
        rollout = reward.rollout(
            row, text, completion_ids=item["completion_ids"], n_tokens=len(ids), stopped=True, rollout_index=0
        )
        rollouts.append(rollout)
        world.items.append(item)
        world.texts.append(renderer.reward(rollout.messages, text, [rollout.principles]).texts[0])
    # One by one: what a text scores does not depend on what it was batched with, but for rounding.
    world.scores = [reward([rollout])[0].total for rollout in rollouts]
    world.tokens = sum(len(engine.codec.encode(text)) for text in world.texts) // len(world.texts)
    engine.close()
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
        argv = [sys.executable, "-m", "salmon_core.serving", str(world.job), "--ready-file", str(ready)]
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
    # Its command line has no float32, its model class does.
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


# -- the clients -------------------------------------------------------------------------------------------------------


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


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> tuple[int, dict[str, Any]]:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


async def load(server: Server, world: World, clients: int, seconds: float) -> Found:
    """So many clients, each asking again as soon as it has its answer; every answer is checked."""
    found, end = Found(), time.perf_counter() + seconds
    start, cpu = time.perf_counter(), server.cpu()

    async def client(number: int) -> None:
        rng = random.Random(f"{time.time_ns()} {number}")
        reader, writer = await asyncio.open_connection(server.host, server.port)
        while time.perf_counter() < end:
            question, key = rng.randrange(POOL), f"{rng.getrandbits(96):x}"
            asked = time.perf_counter()
            status, answer = await _exchange(reader, writer, server.request(question, key))
            found.latencies.append(time.perf_counter() - asked)
            if status != 200:
                raise SystemExit(f"{server.name}: HTTP {status}: {answer}")
            found.worst = max(found.worst, abs(server.score(answer, key) - world.scores[question]))
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    found.seconds, found.cpu = time.perf_counter() - start, server.cpu() - cpu
    return found


def compare(world: World, servers: list[Server], args: argparse.Namespace) -> None:
    """Rounds in alternation, and the ratios."""
    table: dict[str, list[tuple[float, float, float, float, float]]] = {server.name: [] for server in servers}
    for server in servers:
        asyncio.run(load(server, world, args.clients, 2.0))  # warm
    columns = ("requests/s", 11), ("p50 ms", 8), ("p99 ms", 8), ("alone ms", 9), ("cpu ms", 7), ("deviation", 10)
    print("round server    " + " ".join(f"{name:>{width}}" for name, width in columns))
    for number in range(args.rounds):
        for server in servers if number % 2 == 0 else servers[::-1]:
            many = asyncio.run(load(server, world, args.clients, args.seconds))
            alone = asyncio.run(load(server, world, 1, args.seconds / 3))
            rate = len(many.latencies) / many.seconds
            cpu = 1000 * many.cpu / len(many.latencies)
            row = (rate, many.percentile(0.5), many.percentile(0.99), alone.percentile(0.5), cpu)
            table[server.name].append(row)
            print(f"{number:5} {server.name:9} {row[0]:11.1f} {row[1]:8.1f} {row[2]:8.1f} {row[3]:9.2f} {cpu:7.2f} "
                  f"{max(many.worst, alone.worst):10.1e}", flush=True)  # fmt: skip
    for name, rows in table.items():
        middle = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"median {name:9} {middle[0]:10.1f} {middle[1]:8.1f} {middle[2]:8.1f} {middle[3]:9.2f} {middle[4]:7.2f}")
    if len(servers) == 2:
        ratios = [
            [ours / theirs for ours, theirs in zip(one, other, strict=True)]
            for one, other in zip(table["ours"], table["openrlhf"], strict=True)
        ]
        rate, _, p99, alone, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
        print(f"ours / openrlhf, median of rounds: requests/s {rate:.2f} (goal >= 1.15), p99 {p99:.3f} (goal <= 0.2), "
              f"alone {alone:.2f} (goal <= 1), cpu a request {cpu:.2f}")  # fmt: skip


# -- under full load ---------------------------------------------------------------------------------------------------


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
            answers = await asyncio.gather(*(_exchange(*connection, request) for connection in connections[:twice]))
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


def _interpreter(path: str) -> str:
    """Absolute: servers start in folders of their own. Links stay, as a virtual environment's python is one."""
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{path} is no interpreter")
    return os.path.abspath(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openrlhf-python", type=_interpreter, help="an interpreter with openrlhf")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--dtype", default="float32", choices=["bfloat16", "float16", "float32"])
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=12.0, help="of a round, per server")
    parser.add_argument("--saturate", type=float, default=300.0, help="seconds under full load; 0: not")
    args = parser.parse_args()
    right = True
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            world = make_world(Path(folder), size, args.dtype)
            parameters = sum(file.stat().st_size for file in Path(folder, "rm").glob("*.safetensors"))
            each = 4 if args.dtype == "float32" else 2
            spread = max(world.scores) - min(world.scores)
            print(f"{size}: {parameters / each / 1e6:.1f} M parameters, {args.dtype}, {world.tokens} tokens a text, "
                  f"{args.clients} clients, scores spread over {spread:.2f}", flush=True)  # fmt: skip
            servers = [start_ours(world)] if args.rounds else []
            try:
                if args.rounds and args.openrlhf_python:
                    servers.append(start_theirs(world, args.openrlhf_python, args.dtype))
                if args.rounds:
                    compare(world, servers, args)
            finally:
                for server in servers:
                    server.stop()
            if args.saturate:
                # In half precision, other batches round otherwise; a swapped answer is far off either way.
                tolerance = 1e-4 if args.dtype == "float32" else 0.02 * spread
                right = check_saturated(world, args, tolerance) and right
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
