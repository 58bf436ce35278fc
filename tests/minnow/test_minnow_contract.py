"""What the embedded world offers keeps the contracts."""

from __future__ import annotations

from typing import ClassVar

from salmon_core.testing import (
    EvaluatorContract,
    MadeUpRun,
    ModelContract,
    OracleContract,
    PrinciplesContract,
    PromptSourceContract,
    StarterContract,
    TemplateContract,
    make_pair,
)
from salmon_core.testing.contracts.oracle import Questions
from salmon_minnow import plugin
from salmon_minnow.prompts import as_prompt
from salmon_minnow.wide.oracle import MEASURES
from salmon_minnow.world import PROMPTS


class TestPrompts(PromptSourceContract):
    plugin = plugin
    name = "minnow"
    options: ClassVar = {"languages": ["en", "de"], "kinds": ["sum", "howto"]}


class TestAll(PrinciplesContract):
    plugin = plugin
    name = "minnow"


class TestWordings(PrinciplesContract):
    plugin = plugin
    name = "minnow-wordings"


class TestRL(PrinciplesContract):
    plugin = plugin
    name = "minnow-rl"


class TestInterventions(PrinciplesContract):
    plugin = plugin
    name = "minnow-interventions"


class TestWide(PrinciplesContract):
    plugin = plugin
    name = "minnow-wide"


class TestWideReworded(PrinciplesContract):
    plugin = plugin
    name = "minnow-wide-reworded"


class TestTemplate(TemplateContract):
    plugin = plugin
    name = "minnow"


class TestModel(ModelContract):
    plugin = plugin
    name = "minnow"


class TestSmallWideModel(ModelContract):
    plugin = plugin
    name = "minnow-wide-0.5m"


class TestWideModel(ModelContract):
    plugin = plugin
    name = "minnow-wide-1m"


class TestStarter(StarterContract):
    plugin = plugin
    name = "minnow"


class TestOracle(OracleContract):
    plugin = plugin
    name = "minnow"
    principles = tuple(MEASURES)

    def inputs(self) -> Questions:
        asked = [as_prompt(prompt) for prompt in PROMPTS[::40]]
        pairs = [make_pair("Yes.", "1. Wait.\n2. This is a great answer, for example!", prompt=p) for p in asked]
        return Questions(tuple(pairs), tuple(self.principles))


class TestEvaluator(EvaluatorContract):
    plugin = plugin
    name = "minnow-oracle"
    options: ClassVar = {"samples": 2}

    def inputs(self) -> MadeUpRun:
        return MadeUpRun(asked=tuple(as_prompt(prompt) for prompt in PROMPTS if prompt.held_out)[:12])
