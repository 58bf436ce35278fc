"""A small run of the embedded world whose reward model is examined, made once."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from card_runs import Examined
from installed import salmon
from minnow_models import untrained_reward_model

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "run.name=small",
    "prompts={name: minnow, kinds: [capital, sum], languages: [en, de]}",
    "sample.samples=2",
    "label.repeats=2",
    "reward_model.options.max_steps=8",
    "train={algorithm: none}",
    "evaluate=[{name: report-card, truth: minnow, sets: [minnow, minnow-wordings], samples: 4, max_pairs: 30,"
    " max_set: 2}]",
    "expect=[]",
)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model of the embedded world with an untrained head."""
    return untrained_reward_model(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A preferences file of the world's prompts, by its oracle."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in _rows()))
    return file


@pytest.fixture(scope="session")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    folder = tmp_path_factory.mktemp("card")
    settings = [word for each in (*SMALL, f"run.folder={folder}") for word in ("--set", each)]
    done = salmon("run", ROOT / "examples" / "minnow.yaml", "--quick", *settings, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return Examined(folder, folder / "small")


def _rows() -> list[dict[str, Any]]:
    """Two answers of the world's grammar to each of some held-out prompts, the one with an example chosen."""
    from salmon_minnow.oracle import prefers, read
    from salmon_minnow.world import PROMPTS, draw_answer

    rng, rows = random.Random(5), []
    for prompt in [each for each in PROMPTS if each.held_out][:24]:
        for name in ("example", "vivid"):
            for _ in range(20):
                first, second = (draw_answer(prompt, rng) for _ in range(2))
                better = prefers(name, read(prompt, first), read(prompt, second))
                if better:
                    chosen, rejected = (first, second) if better > 0 else (second, first)
                    rows.append({"prompt": prompt.text, "chosen": chosen, "rejected": rejected, "principle": name})
                    break
    several = {**rows[0], "principle": None, "principles": ["example", "vivid"]}
    return [*rows, several]
