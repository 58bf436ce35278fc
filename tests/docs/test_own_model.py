"""The example with a model, prompts and principles of its own, through the real command line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from salmon_core.data.rollouts import read_rollout_rows

pytestmark = pytest.mark.slow

STAGES = ("prompts", "sft", "sample", "judge", "verdict", "label", "train-rm", "train-policy", "evaluate")


@pytest.fixture(scope="module")
def run(finished_example: Path) -> Path:
    return finished_example / "runs" / "own-model"


def test_every_stage_left_its_manifest(run: Path) -> None:
    for stage in STAGES:
        manifest = json.loads((run / stage / "manifest.json").read_text())
        assert (manifest["stage"], manifest["status"]) == (stage, "finished")
        assert len(manifest["fingerprint"]) == 16
        assert not (run / stage / "error.json").exists()
    assert pq.read_table(run / "prompts" / "prompts.parquet").num_rows == 48
    assert pq.read_table(run / "label" / "preferences.parquet").num_rows > 20


def test_the_models_load_with_plain_transformers(run: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    for stage, kind in (("train-rm", AutoModelForSequenceClassification), ("train-policy", AutoModelForCausalLM)):
        model = kind.from_pretrained(run / stage / "model")
        tokenizer = AutoTokenizer.from_pretrained(run / stage / "model")
        logits = model(**tokenizer("Wo ist mein Paket?", return_tensors="pt")).logits
        assert torch.isfinite(logits).all()
        if stage == "train-rm":
            assert model.config.num_labels == 1
            assert tokenizer.pad_token_id != tokenizer.eos_token_id
            assert model.config.pad_token_id == tokenizer.pad_token_id
            assert logits.shape == (1, 1)
        else:
            assert tokenizer.chat_template


def test_the_policy_was_trained_by_every_component(run: Path) -> None:
    lines = map(json.loads, (run / "events.jsonl").read_text().splitlines())
    steps = [line for line in lines if line["event"] == "StepLogged" and line["stage"] == "train-policy"]
    events = [step["values"] for step in steps]
    assert len(events) == json.loads((run / "train-policy" / "metrics.json").read_text())["steps"]
    generated = [values for values in events if "reward" in values]
    assert len(generated) == 4  # batches of 8 prompts, out of 36
    for name in ("rm", "language-match", "length", "missing-stop"):
        assert all(f"reward/{name}/mean" in values for values in generated)
    assert any(values["reward/rm/std"] > 0 for values in generated)


def test_the_intervention_is_shown_from_its_rollout_on(run: Path) -> None:
    rows = list(read_rollout_rows(run / "train-policy"))
    assert len({row["rollout_index"] for row in rows}) > 2
    for row in rows:
        shown = [principle["name"] for principle in row["principles"]]
        assert ("no-self-praise" in shown) == (row["rollout_index"] >= 1)
        assert len(shown) == 2 + (row["rollout_index"] >= 1)
        assert "honest" not in shown


def test_the_report(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    assert set(report["stages"]) == set(STAGES)
    assert {"positive", "negated", "sets"} <= set(report["rm"])
    components = report["evaluators"]["reward-shift"]["components"]
    assert set(components) >= {"rm", "language-match", "length", "missing-stop", "total"}
    assert {"train.algorithm", "reward.show"} <= {item.get("key") for item in report["deviations"]}
