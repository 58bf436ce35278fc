"""The bundled sets: names and weights are the paper's, and each text can do its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from salmon_core.principles.files import bundled_dir, bundled_names, load_principle_set

WEIGHTS = {
    "salmon-rm": {
        "Overall Helpful": 1, "Concise": 1, "Honest and Accurate": 1, "Ethical": 1, "Natural and Fluent": 1,
        "Specific": 1, "Educational and Engaging": 1, "Methodical": 1, "Multilingual": 1, "Creative": 1,
        "Comprehensive": 1,
    },
    "salmon-rl": {
        "Honest and Accurate": 3, "Ethical": 2, "Educational and Engaging": 1, "Creative": 1, "Multilingual": 1,
        "Comprehensive": 3, "Natural Language": 3, "Consistent Reasoning": 1, "Numerical Sensitive": 1,
        "Analytical Structure": 3, "Vivid": 1, "Privacy Protection": 1, "Candor": 4, "Stand-Alone": 2,
    },
    "interventions": {"No Self-Praise": 1, "No Over-Educating": 1, "No Vague Advice": 1},
    "harmless": {
        "Non-Discriminatory": 10, "Refusal to Aid Dangerous Acts": 5, "Consequential Advice Awareness": 4,
        "Cultural Sensitivity": 4, "Context Awareness": 4, "Guard Against Amplification": 4,
        "Empathy-driven Responses": 1, "Proactive Harm Prevention": 1, "Transparency on Biases": 1,
        "Evolutive Learning": 1, "Mental Health Awareness": 1,
    },
    "honest": {
        "Unwavering Accuracy": 5, "Consistent Calibration": 5, "Transparent Uncertainty Expression": 4,
        "Honest Self-representation": 5, "Introspective Honesty": 4, "Bias Recognition": 4, "Correction Commitment": 1,
        "Avoidance of Pretense": 1,
    },
    "non-evasive": {
        "Educational and Engaging": 1, "Creative": 1, "Multilingual": 1, "Comprehensive": 3, "Natural Language": 3,
        "Consistent Reasoning": 1, "Numerical Sensitive": 1, "Analytical Structure": 3, "Vivid": 1,
    },
}  # fmt: skip


def test_all_of_them_are_here() -> None:
    assert set(bundled_names()) == {*WEIGHTS, "self-align"}
    assert {path.name for path in bundled_dir().iterdir()} == {*(f"{name}.yaml" for name in WEIGHTS), "self-align"}
    own = {path.name for path in (bundled_dir() / "self-align").iterdir()}
    assert own == {"principles.yaml", "exemplars.yaml", "topics.yaml"}


@pytest.mark.parametrize("name", WEIGHTS)
def test_names_and_weights(name: str) -> None:
    found = load_principle_set(name)
    assert found.name == name
    assert found.description
    assert {principle.title: principle.weight for principle in found} == WEIGHTS[name]


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_principle_has_an_opposite_and_a_slug(name: str) -> None:
    from salmon_core.principles.salmon_json import slug

    for principle in load_principle_set(name):
        assert principle.negated is not None
        assert principle.name == slug(principle.title)
        for text in (principle.text, principle.negated):
            assert 10 <= len(text.split()) <= 45
            assert "\n" not in text
            assert text[0].isupper()
            assert text.endswith(".")


def test_boosts_by_category() -> None:
    boosted = {
        category: {p.name for p in load_principle_set("salmon-rl") if p.categories.get(category) == 128}
        for category in ("reasoning", "red-teaming", "general")
    }
    assert boosted == {
        "reasoning": {"consistent-reasoning", "numerical-sensitive"},
        "red-teaming": {"ethical", "privacy-protection"},
        "general": set(),
    }


def test_no_two_texts_are_the_same() -> None:
    texts: dict[str, str] = {}
    for name in WEIGHTS:
        for principle in load_principle_set(name):
            for text in (principle.text, principle.negated or ""):
                assert texts.setdefault(text, principle.name) == principle.name


def test_they_are_found_from_any_folder_without_loading_yaml(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        "from salmon_core.principles.files import bundled_names\n"
        "assert len(bundled_names()) == 7\n"
        "assert not {'yaml', 'pydantic', 'torch'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
