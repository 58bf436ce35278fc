"""The example of a real language model, without that model: its plugin, its files, and its configurations."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent.parent.parent / "examples" / "real"
SALMON = Path(sys.executable).parent / "salmon"


@pytest.fixture(scope="module")
def symbolic():
    sys.path.insert(0, str(HERE))
    try:
        import symbolic

        yield symbolic
    finally:
        sys.path.remove(str(HERE))


@pytest.mark.parametrize(
    ("principle", "follows", "breaks"),
    [
        ("no-first-person", "Soak it. It is done in an hour.", "Soak it, and I will help."),
        ("no-first-person", "India is far. Use a time table.", "We do."),
        ("speaks-to-the-reader", "Ask Your neighbour.", "Ask a youth."),
        ("no-contractions", "It is the dog's; do not.".replace("dog's", "dog"), "It\u2019s fine."),
        ("no-contractions", "Rock 'n' roll.", "Don't."),
    ],
)
def test_what_the_measures_see(symbolic, principle, follows, breaks):
    assert symbolic.MEASURES[principle](follows) == 1
    assert symbolic.MEASURES[principle](breaks) == 0
    assert symbolic.preference(principle, follows, breaks) == 1
    assert symbolic.preference(principle, breaks, follows) == -1
    assert symbolic.preference(principle, breaks, breaks) == 0


def test_principles_and_measures_are_the_same_ones(symbolic):
    principles = yaml.safe_load((HERE / "principles.yaml").read_text())["principles"]
    assert [p["name"] for p in principles] == list(symbolic.MEASURES)
    assert all(p["negated"] != p["text"] for p in principles)


def test_prompts_are_many_and_different():
    prompts = [json.loads(line)["prompt"] for line in (HERE / "prompts.jsonl").read_text().splitlines()]
    assert len(prompts) == len(set(prompts)) == 200


@pytest.mark.parametrize("name", ["salmon.yaml", "self-judge.yaml"])
def test_the_configurations_are_sound(name):
    """On another model that is at hand: the check opens engines, judge, labeller, evaluators and trainer."""
    done = subprocess.run(
        [SALMON, "check", name, "--set", "policy.model=plugin:minnow", "--set", "policy.template=minnow"],
        cwd=HERE, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"ok {name}")
