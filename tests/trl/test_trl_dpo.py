"""Direct preference optimisation with tiny real models, in this process."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import torch
import trl_world as world

from salmon_core.api import Job, ModelSpec
from salmon_core.errors import ConfigError
from salmon_trl.backend import TRLBackend

FAST = {
    "per_device_train_batch_size": 8,
    "total_batch_size": 8,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "constant",
    "logging_steps": 1,
}


def dpo(folder: Path, policy: Path, data: str, **options: Any) -> Job:
    values = {**FAST, **options}
    return world.job("train-policy", folder, policy, {"train": data}, algorithm="dpo", options=values)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.make_policy(tmp_path_factory.mktemp("models") / "policy")


@pytest.fixture(scope="module")
def trained(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    base = tmp_path_factory.mktemp("dpo")
    job = dpo(base / "stage", policy, world.write(base / "rows.parquet", world.policy_pairs(160)))
    world.work(job)
    return job


def test_it_learns_what_is_preferred(trained: Job, policy: Path) -> None:
    """The implicit reward's accuracy rises from chance, and the first step's loss is that of no difference."""
    folder = Path(trained.folder)
    result = TRLBackend().finish(trained, folder).metrics
    assert (result["steps"], result["rows"]) == (20, 160)
    logged = [values for _, values in world.steps(folder)]
    assert math.isclose(logged[0]["loss"], math.log(2), rel_tol=1e-3)
    assert sum(values["rewards/accuracies"] for values in logged[-5:]) / 5 > 0.95
    assert logged[-1]["rewards/margins"] > logged[1]["rewards/margins"]
    before, after = world.weights(policy), world.weights(folder / "model")
    assert set(before) == set(after)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_its_model_is_plain(trained: Job, policy: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(trained.folder) / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token is None  # as it came
    assert tokenizer.chat_template == world.CHAT
    assert model.config.pad_token_id == AutoModelForCausalLM.from_pretrained(policy).config.pad_token_id


def test_the_trainer_sees_the_codecs_ids(policy: Path, tmp_path: Path) -> None:
    """Through the real trainer's own data loader: no BOS or EOS more, nothing cut, and where the answer begins."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig

    from salmon_core.kit.hf import HFCodec
    from salmon_trl.common import load_tokenizer
    from salmon_trl.data import SimilarLengths
    from salmon_trl.dpo import PreferenceTuner, pair_rows, row_lengths

    rows = [*world.policy_pairs(12), {"prompt": "<s>a", "chosen": "b" * 60 + "</s>", "rejected": "</s>", "margin": 0.0}]
    tokenizer = load_tokenizer(ModelSpec(str(policy)))
    codec = HFCodec(AutoTokenizer.from_pretrained(policy), name="policy")
    data = pair_rows(tokenizer, world.write(tmp_path / "rows.parquet", rows))
    args = DPOConfig(str(tmp_path), max_length=None, use_cpu=True, bf16=False, per_device_train_batch_size=4)
    model = AutoModelForCausalLM.from_pretrained(policy)
    trainer = PreferenceTuner(model, args=args, train_dataset=Dataset.from_dict(data), processing_class=tokenizer)
    trainer.order = SimilarLengths(row_lengths(data), 4, 0)
    seen = set()
    for batch in trainer.get_train_dataloader():
        texts = [
            (tuple(ids[mask.bool() & ~said.bool()].tolist()), tuple(ids[said.bool()].tolist()))
            for ids, mask, said in zip(
                batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True
            )
        ]
        half = len(texts) // 2
        seen |= {(a[0], a[1], b[1]) for a, b in zip(texts[:half], texts[half:], strict=True)}
    assert seen == {tuple(tuple(codec.encode(row[name])) for name in ("prompt", "chosen", "rejected")) for row in rows}


@pytest.mark.parametrize("merge", [True, False])
def test_adapters(merge: bool, policy: Path, tmp_path: Path) -> None:
    data = world.write(tmp_path / "rows.parquet", world.policy_pairs(32))
    job = dpo(tmp_path / "s", policy, data, lora={"r": 4}, merge=merge, learning_rate=1e-2)
    folder = world.work(job)
    TRLBackend().finish(job, folder)
    assert (folder / "model" / "adapter_config.json").exists() != merge
    logged = [values for _, values in world.steps(folder)]
    assert logged[-1]["rewards/margins"] > 0


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no beta": ({"beta": 0}, "beta"),
    "an unknown loss": ({"loss_type": "sigmiod"}, "loss_type"),
    "half of the labels wrong": ({"label_smoothing": 0.5}, "label_smoothing"),
    "an option of RL": ({"num_generations": 4}, "there is no such option"),
    "an evaluation": ({"eval_steps": 4}, "eval_steps"),
    "a merge of nothing": ({"merge": False}, "merge: false needs lora"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_its_options_may_not_say(name: str, policy: Path, tmp_path: Path) -> None:
    options, says = REFUSED[name]
    with pytest.raises(ConfigError, match=says):
        TRLBackend().plan(dpo(tmp_path / "s", policy, "rows.parquet", **options))


def test_what_trl_refuses_is_found_by_check(policy: Path, tmp_path: Path) -> None:
    """Without training: by TRL's own configuration."""
    job = dpo(tmp_path / "s", policy, "rows.parquet", extra={"loss_wieghts": [1.0]})
    with pytest.raises(ConfigError, match="did you mean loss_weights"):
        TRLBackend().check(job)
    with pytest.raises(ConfigError, match=r"extra\.max_length is an option of its own"):
        TRLBackend().check(dpo(tmp_path / "t", policy, "rows.parquet", extra={"max_length": 3}))
    TRLBackend().check(dpo(tmp_path / "v", policy, "rows.parquet"))


def test_rows_that_are_too_long_are_counted(policy: Path, tmp_path: Path) -> None:
    data = world.write(tmp_path / "rows.parquet", world.policy_pairs(16))
    folder = world.work(dpo(tmp_path / "s", policy, data, max_length=4), 1)
    assert "16 of 16 rows are longer than 4 tokens" in json.loads((folder / "error.json").read_text())["message"]
