"""The bundled monitors keep the contract."""

from __future__ import annotations

from typing import ClassVar

from monitors_world import Longer

from salmon_core.testing import MonitorContract
from salmon_core.testing.contracts.monitor import MadeUpWatched
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


class TestOverOptimised(MonitorContract):
    plugin = plugin
    name = "over-optimised"
    options: ClassVar = {"oracle": "longer"}
    watched: ClassVar = MadeUpWatched(oracles={"longer": Longer()})
