"""The bundled evaluators keep the contract."""

from __future__ import annotations

from typing import ClassVar

from salmon_evaluators import plugin

from salmon_core.testing import EvaluatorContract
from salmon_core.testing.made_up import MadeUpRun


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


class TestWinRate(EvaluatorContract):
    plugin = plugin
    name = "win-rate"
    options: ClassVar = {"samples": 3}


class TestOracle(EvaluatorContract):
    plugin = plugin
    name = "oracle"
    options: ClassVar = {"oracle": "made-up", "samples": 2}


class TestMTBench(EvaluatorContract):
    plugin = plugin
    name = "mt-bench"
    options: ClassVar = {"judge_tokens": 100}

    def inputs(self) -> MadeUpRun:
        """A judge that rates, chooses, and says nothing, in turn."""
        return MadeUpRun(replies=("Rating: 4", "Rating: 9", "Verdict: a", "Verdict: tie", "Well."))
