"""The bundled evaluators keep the contract."""

from __future__ import annotations

from typing import ClassVar

from salmon_evaluators import plugin

from salmon_core.testing import EvaluatorContract


class TestAccuracyByJudge(EvaluatorContract):
    plugin = plugin
    name = "rm-accuracy"
    options: ClassVar = {"max_pairs": 10, "max_set": 2, "samples": 2}


class TestAccuracyByOracle(EvaluatorContract):
    plugin = plugin
    name = "rm-accuracy"
    options: ClassVar = {"truth": "made-up", "max_pairs": 10, "modes": ["mean"]}


class TestRewardShift(EvaluatorContract):
    plugin = plugin
    name = "reward-shift"
    options: ClassVar = {"samples": 2}
