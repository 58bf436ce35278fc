"""The world of `tests/core`, once through all stages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from core_world import make_folder, salmon
from seeing_world import FORGED


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration and its finished run `runs/toy`; do not write there."""
    folder = tmp_path_factory.mktemp("toy")
    reward = {
        "principles": {"name": "rules.yaml", "negate": ["kind"]},
        "show": 2,
        "engine": "bytes",
        "bonuses": ["letters"],
        "interventions": [{"principle": "plain", "text": "No decoration."}],
    }
    make_folder(folder, reward=reward)
    with (folder / "prompts.jsonl").open("a") as file:
        file.write(json.dumps({"id": "forged", "split": "train", "prompt": FORGED}) + "\n")
        file.write(json.dumps({"id": "held", "split": "test", "prompt": "What is held out?"}) + "\n")
    done = salmon("run", "salmon.yaml", cwd=folder, timeout=600)
    assert done.code == 0, done.text
    return folder
