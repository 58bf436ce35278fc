"""Small models to be asked, made once; the command line; an API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from local_server import LocalServer
from minnow_models import untrained_reward_model
from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of

CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
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
    """A reward model of the embedded world with an untrained head."""
    return untrained_reward_model(tmp_path_factory.mktemp("untrained"))


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
