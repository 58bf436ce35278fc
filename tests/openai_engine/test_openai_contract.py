"""The engine keeps the contract, at an endpoint with log-probabilities and at one without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_engine_server import OpenAIServer

from salmon_core.api import Ability, ModelSpec
from salmon_core.testing import EngineContract
from salmon_openai import plugin


class TestChat(EngineContract):
    plugin = plugin
    name = "openai"
    refuses = False  # a model that is not there: only the endpoint knows, when it is asked

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with OpenAIServer() as server:
            self.options: Any = {"base_url": server.url, "concurrency": 3, "extra": {"top_k": 40}}
            yield

    def model(self, ability: Ability) -> ModelSpec:
        return ModelSpec("served")


class TestVotes(TestChat):
    @pytest.fixture(autouse=True)
    def _server(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        self.folder: Path = tmp_path_factory.mktemp("kept")
        with OpenAIServer(logprobs="refuse") as server:
            self.options: Any = {"base_url": server.url, "votes": 3, "cache": str(self.folder / "answers.sqlite")}
            yield
