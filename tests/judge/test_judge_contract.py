"""The bundled judge, labeller and template keep their contracts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from salmon_core.testing import JudgeContract, LabellerContract, TemplateContract
from salmon_judge import plugin


class TestSelfJudge(JudgeContract):
    plugin = plugin
    name = "self-judge"
    options: ClassVar = {"batch_pairs": 3}


class TestReasoning(JudgeContract):
    plugin = plugin
    name = "reasoning"
    options: ClassVar = {"batch_pairs": 4, "votes": 2, "max_new_tokens": 40}


class TestExternal(JudgeContract):
    """By a file about all pairs that contracts ask with; it judges nothing else."""

    plugin = plugin
    name = "external"
    options: ClassVar = {"path": "external.jsonl", "missing": "tie"}
    base = Path(__file__).parent


class TestSalmon(LabellerContract):
    plugin = plugin
    name = "salmon"
    options: ClassVar = {"repeats": 2, "flip": 0.2}


class TestStandard(TemplateContract):
    plugin = plugin
    name = "standard"
