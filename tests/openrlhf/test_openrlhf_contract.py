"""The backend keeps the contract, as far as no training is needed to see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from salmon_core.api import Job
from salmon_core.testing import BackendContract, make_job
from salmon_core.testing.contracts.backend import Task
from salmon_openrlhf import plugin


class TestOpenRLHF(BackendContract):
    plugin = plugin
    name = "openrlhf"
    wrong: ClassVar = {"train-rm": {"learning_rate": -1.0, "max_length": 0}}

    def job(self, task: Task, options: Mapping[str, Any]) -> Job:
        return make_job(task.stage, task.algorithm, options=options, python="/opt/openrlhf/bin/python")
