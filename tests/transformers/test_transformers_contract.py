"""The engine keeps the contract, with a small model of random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest

from salmon_core.api import Ability, ModelSpec
from salmon_core.testing import EngineContract
from salmon_transformers import plugin


class TestTransformers(EngineContract):
    plugin = plugin
    name = "transformers"
    options: ClassVar = {"batch_tokens": 256}
    tolerance = 1e-4

    @pytest.fixture(autouse=True)
    def _models(self, make: Callable[..., str]) -> None:
        self.folders = {False: make("llama"), True: make("llama", reward=True)}

    def model(self, ability: Ability) -> ModelSpec:
        return ModelSpec(self.folders[ability == "scorer"], dtype="float32", device="cpu")
