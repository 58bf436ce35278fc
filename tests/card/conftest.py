"""A small run of the embedded world whose reward model is examined, made once."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from card_runs import Examined
from installed import salmon

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
    """A reward model of the embedded world with an untrained head, as the stage `train-rm` leaves one."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    from salmon_core.api import Limits, ModelSpec
    from salmon_core.plugins.engines import open_codec
    from salmon_core.plugins.options import validate_options
    from salmon_core.plugins.registry import Registry
    from salmon_core.sharing.document import FILE, KnownPrinciple, make_document
    from salmon_minnow.formats import TEMPLATE
    from salmon_minnow.plugin import MODEL
    from salmon_minnow.sets import ALL

    folder = tmp_path_factory.mktemp("untrained")
    set_seed(3)
    AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(MODEL).save_pretrained(folder)
    registry, spec = Registry.discover(), ModelSpec(str(folder), dtype="float32")
    engine = validate_options(registry.find("engines", "transformers"), {}, "engine", folder)
    codec = open_codec(registry, engine, spec)
    known = [KnownPrinciple(name=each.name, text=each.text, negated=each.negated) for each in ALL]
    document = make_document(
        name="minnow",
        template=TEMPLATE,
        limits=Limits(48, 80, 256),
        principles=known,
        combine="joint",
        model=spec,
        codec=codec,
        policy=codec,
        base_model="",
    )
    (folder / FILE).write_text(document.to_json())
    return folder


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
