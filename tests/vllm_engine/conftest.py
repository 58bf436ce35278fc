"""Makes `vllm_world` importable; tests of the real vLLM are for `make test-vllm` only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

Make = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from vllm_world import PYTHON

    for item in items:
        if item.get_closest_marker("vllm") is not None and not PYTHON:
            item.add_marker(pytest.mark.skip(reason="needs an interpreter with vLLM: make test-vllm"))


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """make(kind, reward=...) -> a model folder, made once."""
    from vllm_world import make_model

    made: dict[tuple[str, bool], Path] = {}

    def build(kind: str = "llama", reward: bool = False) -> Path:
        if (kind, reward) not in made:
            made[kind, reward] = make_model(tmp_path_factory.mktemp(kind), kind, reward=reward)
        return made[kind, reward]

    return build
