"""The whole method from a base model, in small: `examples/minnow-full.yaml` with a few prompts and steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = (
    *("prompts", "self-align", "sft", "sample", "judge", "verdict", "label"),
    *("pretrain-rm", "train-rm", "train-policy", "evaluate"),
)


@pytest.mark.slow
def test_every_stage_hands_on_to_the_next(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "salmon_core", "run", str(ROOT / "examples" / "minnow-full.yaml"), "--limit", "24"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [*argv, "--set", f"run.folder={tmp_path}"], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(next(tmp_path.glob("*/report.json")).read_text())
    assert set(STAGES) <= set(report["stages"])
    run = next(tmp_path.glob("*/report.json")).parent
    made_from = json.loads((run / "train-rm" / "manifest.json").read_text())
    assert "pretrain-rm" in json.dumps(made_from)
    rates = report["evaluators"]["minnow-oracle"]["rates"]
    assert rates["stopped"]["after"]["value"] >= rates["stopped"]["before"]["value"]  # of the base, and in the end
