"""Makes `ray_world` importable; small models, and one cluster for the tests of a file, which `make test-ray` runs."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = ["The river runs to the sea. Which answer is better? one two, be brief a b", "Numbers 0 1 2 3; words!"] * 20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts Ray takes minutes: a command of its own."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name != "test_ray_refusals.py":
            item.add_marker(pytest.mark.ray)
            if not os.environ.get("SALMON_RAY"):
                item.add_marker(pytest.mark.skip(reason="starts Ray: make test-ray"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Ray, started as the engine starts it."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray")
    from ray_world import installed

    from salmon_ray.cluster import connected
    from salmon_ray.options import Options

    with installed(tmp_path_factory.mktemp("installed")), connected(Options(engine="transformers")) as ray:
        yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A language model, and (True) a reward model."""
    from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of, widened
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    specials = ["<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "model_max_length": int(1e30)}
    tokenizer = tokenizer_of(byte_bpe(CORPUS, vocab_size=400, specials=specials), chat=CHAT, **names)

    def wide(auto: Any) -> Any:
        return lambda config: widened(auto.from_config(config))

    config = {"max_position_embeddings": 2048, "hidden_size": 64}
    lm, rm = tmp_path_factory.mktemp("lm"), tmp_path_factory.mktemp("rm")
    save_model(lm, llama_config(tokenizer, **config), wide(AutoModelForCausalLM), tokenizer)
    kind = wide(AutoModelForSequenceClassification)
    save_model(rm, llama_config(tokenizer, **config, num_labels=1), kind, tokenizer)
    return {False: lm, True: rm}
