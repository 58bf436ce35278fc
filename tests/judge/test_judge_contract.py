"""The bundled judge, labeller and template keep their contracts."""

from __future__ import annotations

from typing import ClassVar

from salmon_core.testing import JudgeContract, LabellerContract, TemplateContract
from salmon_judge import plugin


class TestSelfJudge(JudgeContract):
    plugin = plugin
    name = "self-judge"
    options: ClassVar = {"batch_pairs": 3}


class TestSalmon(LabellerContract):
    plugin = plugin
    name = "salmon"
    options: ClassVar = {"repeats": 2, "flip": 0.2}


class TestStandard(TemplateContract):
    plugin = plugin
    name = "standard"
