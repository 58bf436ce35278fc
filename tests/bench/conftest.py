"""Small models to be asked, made once; the command line; an API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from local_server import LocalServer
from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of

SALMON = Path(sys.executable).parent / "salmon"
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def environment(**more: str) -> dict[str, str]:
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "NO_COLOR": "1"}
    return {**os.environ, **own, "COLUMNS": "200", **more}


def salmon(*argv: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SALMON), *map(str, argv)], cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`judge`, a chat model, and `scalar`, a reward model of others; both of random weights."""
    from transformers import LlamaForCausalLM, LlamaForSequenceClassification

    from salmon_bench.rows import read_rows

    folder = tmp_path_factory.mktemp("models")
    corpus = [text for row in read_rows()[:300] for text in (*row.answers, row.principles[0].text)]
    specials = ["<pad>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    backend = byte_bpe(corpus, vocab_size=800, specials=specials)
    tokenizer = tokenizer_of(backend, chat=CHAT, eos_token="<|end|>", pad_token="<pad>")
    config = llama_config(tokenizer, max_position_embeddings=1024)
    judge = save_model(folder / "judge", config, LlamaForCausalLM, tokenizer)
    one = llama_config(tokenizer, max_position_embeddings=1024, num_labels=1)
    return {"judge": judge, "scalar": save_model(folder / "scalar", one, LlamaForSequenceClassification, tokenizer)}


@pytest.fixture(scope="session")
def minnow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model of the embedded world with an untrained head, as the stage `train-rm` leaves one."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    from salmon_core.api import Limits, ModelSpec
    from salmon_core.plugins.engines import open_codec
    from salmon_core.plugins.options import validate_options
    from salmon_core.plugins.registry import Registry
    from salmon_core.sharing.document import FILE, KnownPrinciple, make_document
    from salmon_minnow.formats import TEMPLATE
    from salmon_minnow.plugin import MODEL
    from salmon_minnow.sets import ALL

    folder = tmp_path_factory.mktemp("untrained")
    set_seed(3)
    AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(MODEL).save_pretrained(folder)
    registry, spec = Registry.discover(), ModelSpec(str(folder), dtype="float32")
    engine = validate_options(registry.find("engines", "transformers"), {}, "engine", folder)
    codec = open_codec(registry, engine, spec)
    document = make_document(
        name="minnow",
        template=TEMPLATE,
        limits=Limits(48, 80, 256),
        principles=[KnownPrinciple(name=each.name, text=each.text, negated=each.negated) for each in ALL],
        combine="joint",
        model=spec,
        codec=codec,
        policy=codec,
        base_model="",
    )
    (folder / FILE).write_text(document.to_json())
    return folder


class _Handler(BaseHTTPRequestHandler):
    """Prefers b, whatever it is asked."""

    server: LocalServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append((0.0, json.dumps(body)))
        top = [{"token": "b", "logprob": -0.1}, {"token": "a", "logprob": -2.4}]
        said: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": "b"},
            "finish_reason": "stop",
            "logprobs": {"content": [{**top[0], "top_logprobs": top}]},
        }
        reply = {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [said]}
        data = json.dumps({**reply, "usage": {"prompt_tokens": 9, "completion_tokens": 1}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words: object) -> None:
        """Says nothing."""


@pytest.fixture
def api() -> Iterator[LocalServer]:
    """Of OpenAI's form."""
    with LocalServer(_Handler) as server:
        yield server
