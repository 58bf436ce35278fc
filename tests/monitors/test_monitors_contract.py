"""The bundled monitors keep the contract."""

from __future__ import annotations

from typing import ClassVar

from monitors_world import Longer, shown

from salmon_core.api import RolloutBatch
from salmon_core.testing import MonitorContract
from salmon_core.testing.contracts.monitor import MadeUpWatched, made_up_batches
from salmon_monitors import plugin


class TestStockPhrases(MonitorContract):
    plugin = plugin
    name = "stock-phrases"
    options: ClassVar = {"words": 3}


class TestCaptured(MonitorContract):
    plugin = plugin
    name = "captured"
    options: ClassVar = {"share": 0.5}


class TestDrift(MonitorContract):
    plugin = plugin
    name = "drift"
    options: ClassVar = {"times": 1.5}


class TestRepetition(MonitorContract):
    plugin = plugin
    name = "repetition"
    options: ClassVar = {"rise": 0.1}


class TestOutliers(MonitorContract):
    plugin = plugin
    name = "outliers"
    options: ClassVar = {"count": 2}


class TestEntropy(MonitorContract):
    plugin = plugin
    name = "entropy"
    options: ClassVar = {"left": 0.3}


class TestSecondOpinion(MonitorContract):
    plugin = plugin
    name = "second-opinion"
    options: ClassVar = {"every": 1, "most": 40}


class TestDisagreement(MonitorContract):
    plugin = plugin
    name = "disagreement"
    options: ClassVar = {"every": 1, "wordings": {"kind": ["Kindness."]}}

    def inputs(self) -> tuple[MadeUpWatched, list[RolloutBatch]]:
        return self.watched, shown(made_up_batches())


class TestOverOptimised(MonitorContract):
    plugin = plugin
    name = "over-optimised"
    options: ClassVar = {"oracle": "longer"}
    watched: ClassVar = MadeUpWatched(oracles={"longer": Longer()})
