"""The world of `tests/core`, once through all stages."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core")]

import pytest  # noqa: E402
from core_world import make_folder, salmon  # noqa: E402
from seeing_world import FORGED  # noqa: E402


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
