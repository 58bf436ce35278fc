"""A small run of the embedded world whose reward model is examined, made once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SALMON = Path(sys.executable).parent / "salmon"
SMALL = (
    "run.name=small",
    "prompts={name: minnow, kinds: [capital, sum], languages: [en, de]}",
    "sample.samples=2",
    "label.repeats=2",
    "reward_model.options.max_steps=8",
    "train={algorithm: none}",
    "evaluate=[{name: report-card, truth: minnow, sets: [minnow, minnow-wordings], samples: 4, max_pairs: 30, max_set: 2}]",
    "expect=[]",
)


def environment(**more: str) -> dict[str, str]:
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "NO_COLOR": "1"}
    return {**os.environ, **own, "COLUMNS": "120", **more}


def salmon(*argv: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SALMON), *map(str, argv)], cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300
    )


@dataclass(frozen=True)
class Examined:
    """Attributes:
    folder: in which commands run; `run` the run's folder.
    pairs: a preferences file of the world's prompts, by its oracle.
    """

    folder: Path
    run: Path
    pairs: Path

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / "report.json").read_text())
        return found


@pytest.fixture(scope="session")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    folder = tmp_path_factory.mktemp("card")
    settings = [word for each in (*SMALL, f"run.folder={folder}") for word in ("--set", each)]
    done = salmon("run", ROOT / "examples" / "minnow.yaml", "--quick", *settings, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    pairs = folder / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in _rows()))
    return Examined(folder, folder / "small", pairs)


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
