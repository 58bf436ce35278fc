"""What salmon sees of the world."""

from __future__ import annotations

import subprocess
import sys

import pytest

from salmon_core.api import Component
from salmon_core.records import Prompt
from salmon_minnow import plugin, sets
from salmon_minnow.evaluator import MinnowOracle, MinnowTruth
from salmon_minnow.formats import CHOICES, TEMPLATE, pair_text, reward_text
from salmon_minnow.principles import NAMES
from salmon_minnow.prompts import MinnowPrompts
from salmon_minnow.world import PROMPTS, PROMPTS_BY_ID


def components() -> list[Component]:
    hooks = [getattr(plugin, name) for name in dir(plugin) if name.startswith("salmon_")]
    return [component for hook in hooks for component in hook()]


def test_every_target_exists():
    for component in components():
        if isinstance(component.target, str):
            module, name = component.target.split(":")
            __import__(module)
            assert hasattr(sys.modules[module], name)
        else:
            assert (component.target / "config.json").is_file()


def test_the_plugin_is_light():
    code = "import salmon_minnow.plugin, salmon_minnow.evaluator, salmon_minnow.prompts, salmon_minnow.sets, sys;"
    code += "print([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_prompts():
    loaded = list(MinnowPrompts().load())
    assert [p.id for p in loaded] == [p.id for p in PROMPTS]
    assert {p.id for p in loaded if p.split == "test"} == {p.id for p in PROMPTS if p.held_out}
    assert {p.category for p in loaded} == {"general", "reasoning", "red-teaming"}
    chosen = list(MinnowPrompts(MinnowPrompts.Options(kinds=["harm"], languages=["de"])).load())
    assert chosen
    assert all(p.id.startswith("de-harm-") and p.category == "red-teaming" for p in chosen)


def test_options_name_what_is_unknown():
    with pytest.raises(ValueError, match="fr"):
        MinnowPrompts.Options(languages=["fr"])


def test_principle_sets():
    assert [p.name for p in sets.ALL] == list(NAMES)
    assert all(p.negated for p in sets.ALL)
    assert {p.name for p in sets.RL} < set(NAMES)
    assert sets.INTERVENTIONS["no-self-praise"].text == "should not praise itself"
    texts = [p.text for each in (sets.ALL, sets.INTERVENTIONS) for p in each]
    assert len(set(texts)) == len(texts) - 1  # only the prohibition is in both


def test_the_template_fills():
    assert TEMPLATE.choices == CHOICES
    assert pair_text("{first}", "{second}", "b") == "User: {first}\nAssistant:\n{second}<|other|>b"
    expected = "User: q\nAssistant:\n{a}<|rule|>r{x}<|end|><|rule|>s<|end|><|verdict|><|eos|>"
    assert reward_text("q", "{a}", ["r{x}", "s"]) == expected


def test_truth():
    world = PROMPTS_BY_ID["en-capital-spain"]
    prompt = Prompt.from_text(world.text)
    plain, boast = (
        "The capital of Spain is Madrid.",
        "The capital of Spain is Madrid. I am truly an excellent assistant!",
    )
    truth = MinnowTruth()
    assert truth.prefer(prompt, plain, boast, "no-self-praise") > 0
    assert truth.prefer(prompt, boast, plain, "no-self-praise") < 0
    assert truth.prefer(prompt, plain, boast, "helpful") == 0
    assert truth.prefer(Prompt.from_text("Who?"), plain, boast, "no-self-praise") == 0
    with pytest.raises(KeyError):
        truth.prefer(prompt, plain, boast, "humble")


def test_evaluator_declares_what_it_loads():
    assert MinnowOracle().needs == {"initial", "policy"}
