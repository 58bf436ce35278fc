"""The engine keeps the contract: with a stand-in for vLLM, and with vLLM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import pytest
from vllm_world import QUICK, model, standin

from salmon_core.api import Ability, ModelSpec
from salmon_core.testing import EngineContract
from salmon_vllm import plugin


class _Contract(EngineContract):
    __test__ = False
    plugin = plugin
    name = "vllm"

    @pytest.fixture(autouse=True)
    def _models(self, make: Callable[..., Path]) -> None:
        self.folders = {False: make(), True: make(reward=True)}

    def model(self, ability: Ability) -> ModelSpec:
        return model(self.folders[ability == "scorer"])


class TestStandIn(_Contract):
    __test__ = True

    @pytest.fixture(autouse=True)
    def _options(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        options = {"python": standin(tmp_path_factory.getbasetemp()), "max_model_len": 512}
        self.options: Any = options


@pytest.mark.vllm
class TestVLLM(_Contract):
    __test__ = True
    tolerance = 1e-4
    options: ClassVar = QUICK

    @pytest.fixture(autouse=True, scope="class")
    def _kept(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Models that the contract asks are opened once; where it closes them, it opens its own."""
        request.cls.opened = {}
        yield
        for each in request.cls.opened.values():
            each.close()

    def open(self, ability: Ability) -> AbstractContextManager[Any]:
        kept = self.opened  # type: ignore[attr-defined]
        if ability not in kept:
            kept[ability] = super().open(ability)
        return nullcontext(kept[ability])
