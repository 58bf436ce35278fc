"""The backend keeps the contract, as far as no training is needed to see it."""

from __future__ import annotations

from typing import ClassVar

from salmon_core.testing import BackendContract
from salmon_trl import plugin


class TestTRL(BackendContract):
    plugin = plugin
    name = "trl"
    stage_options: ClassVar = {
        "grpo": {"num_generations": 4, "max_steps": 3},
        "train-rm": {"threads": 1},
        "dpo": {"max_steps": 3},
    }
    wrong: ClassVar = {
        "train-rm": {"learning_rate": -1.0, "max_length": 0},
        "sft": {"learning_rate": "quick"},
        "dpo": {"beta": 0, "eval_steps": 2},
    }
