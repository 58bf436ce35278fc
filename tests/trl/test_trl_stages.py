"""Whole stages with tiny real models, in this process."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from salmon_trl import worker
from salmon_trl.backend import TRLBackend

pytest.importorskip("trl")
import torch
import trl_world as world

from salmon_core.api import Job

FAST = {"per_device_train_batch_size": 8, "total_batch_size": 8, "learning_rate": 3e-3}
RL = {
    "per_device_train_batch_size": 16,
    "total_batch_size": 16,
    "generation_batch_size": 16,
    "num_generations": 4,
    "max_completion_length": 12,
    "learning_rate": 1e-3,
    "beta": 0.05,
    "log_rollouts_every": 1,
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a pad token, like GPT-2 or Llama."""
    return world.make_policy(tmp_path_factory.mktemp("models") / "policy")


@pytest.fixture(scope="module")
def reward_model(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    base = tmp_path_factory.mktemp("rm")
    data = {
        "train": world.write(base / "train.parquet", world.preferences(240)),
        "test": world.write(base / "test.parquet", world.preferences(60, seed=9)),
    }
    job = world.job("train-rm", base / "stage", policy, data, options={**FAST, "num_train_epochs": 2})
    world.work(job)
    return job


@pytest.fixture(scope="module")
def grpo(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    base = tmp_path_factory.mktemp("grpo")
    data = {"train": world.write(base / "rl.parquet", world.rl_rows(14))}
    spec = world.reward_spec(world.write_bonus(base / "bonus.py"), None, policy)
    options = {**RL, "num_iterations": 2, "total_batch_size": 8, "per_device_train_batch_size": 8}
    job = world.job("train-policy", base / "stage", policy, data, reward=spec, options=options)
    world.work(job)
    return job


def test_reward_model_learns(reward_model: Job) -> None:
    result = TRLBackend().finish(reward_model, Path(reward_model.folder))
    assert result.metrics["eval"]["eval_accuracy"] > 0.9
    assert result.metrics["steps"] == 60
    steps = [step for step, values in world.steps(Path(reward_model.folder)) if "loss" in values]
    assert steps == [10, 20, 30, 40, 50, 60]


def test_reward_model_is_a_plain_folder(reward_model: Job, policy: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = Path(reward_model.folder) / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.chat_template == world.CHAT
    texts = ["<s>red</s>", "<s>house tree red</s>", "<s>stone bird fish blue</s>"]
    alone = [model(**tokenizer(t, add_special_tokens=False, return_tensors="pt")).logits.item() for t in texts]
    batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    torch.testing.assert_close(model(**batch).logits.squeeze(-1), torch.tensor(alone), atol=1e-5, rtol=0)
    assert alone[0] > alone[2]


def test_reward_trainer_sees_the_codecs_ids(policy: Path, tmp_path: Path) -> None:
    """Through the real trainer's own data loader: no BOS or EOS more, nothing cut, no row dropped."""
    from datasets import Dataset
    from trl import RewardConfig

    from salmon_core.api import ModelSpec
    from salmon_core.kit.hf import HFCodec
    from salmon_trl.common import load_tokenizer
    from salmon_trl.data import SimilarLengths
    from salmon_trl.options import RewardOptions
    from salmon_trl.reward_model import RewardModelTrainer, add_pad_token, load_scorer, pair_lengths, preference_rows

    rows = [*world.preferences(20), {"chosen": "<s>a" * 40 + "</s>", "rejected": "ü </s></s>", "margin": 1.0}]
    path = world.write(tmp_path / "rows.parquet", rows)
    tokenizer = load_tokenizer(ModelSpec(str(policy)))
    codec = HFCodec(load_tokenizer(ModelSpec(str(policy))), name="policy")
    add_pad_token(tokenizer)
    data = preference_rows(tokenizer, path, margin=True)
    args = RewardConfig(str(tmp_path), max_length=None, use_cpu=True, bf16=False, per_device_train_batch_size=4)
    model = load_scorer(str(policy), tokenizer, RewardOptions())
    assert not model.score.weight.any()
    trainer = RewardModelTrainer(model, args, train_dataset=Dataset.from_dict(data), processing_class=tokenizer)
    trainer.order = SimilarLengths(pair_lengths(data), 4, 0)
    seen = set()
    for batch in trainer.get_train_dataloader():
        ids = [
            tuple(row[mask.bool()].tolist())
            for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        ]
        seen |= set(zip(ids[: len(ids) // 2], ids[len(ids) // 2 :], strict=True))
    assert seen == {(tuple(codec.encode(row["chosen"])), tuple(codec.encode(row["rejected"]))) for row in rows}


def test_too_long_rows_are_counted(policy: Path, tmp_path: Path) -> None:
    data = {"train": world.write(tmp_path / "d.parquet", world.preferences(30))}
    job = world.job("train-rm", tmp_path / "s", policy, data, options={**FAST, "max_length": 8})
    folder = world.work(job, 1)
    error = json.loads((folder / "error.json").read_text())
    assert "rows are longer than 8 tokens" in error["message"]
    assert error["where"].endswith("d.parquet")


def test_grpo_visits_the_rows_in_order_once(grpo: Job) -> None:
    """14 rows, 4 prompts a batch: three batches, each group on one row; two rows fill no batch."""
    lines = world.rollouts(Path(grpo.folder))
    assert [line["row"] for line in lines] == [row for row in range(12) for _ in range(4)]
    assert [line["rollout_index"] for line in lines] == [batch for batch in range(3) for _ in range(16)]
    for line in lines:
        assert math.isclose(line["reward"], sum(line["components"].values()))
        assert len(line["principles"]) == 1
    result = TRLBackend().finish(grpo, Path(grpo.folder)).metrics
    assert (result["rows_unused"], result["rollouts"], result["steps"]) == (2, 3, 12)


def test_grpo_logs_every_component(grpo: Job) -> None:
    logged = world.steps(Path(grpo.folder))
    assert [step for step, _ in logged] == list(range(1, 13))
    values = next(values for _, values in logged if "reward" in values)
    assert math.isclose(values["reward"], values["reward/words/mean"], rel_tol=1e-5)
    assert {"reward/words/std", "reward/truncated", "kl", "completions/mean_length"} <= set(values)
    assert not any(name.startswith("rewards/") for name in values)


def test_policy_folder_is_plain(grpo: Job, policy: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = Path(grpo.folder) / "model"
    AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.pad_token is None  # as it came
    assert tokenizer.chat_template == world.CHAT
    assert {path.name for path in policy.iterdir()} <= {path.name for path in folder.iterdir()}
    before, after = world.weights(policy), world.weights(folder)
    assert any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("algorithm", ["GRPO", "RLOO"])
def test_prompts_reach_the_trainer_as_the_codecs_ids(algorithm: str, policy: Path, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from salmon_core.kit.hf import HFCodec
    from salmon_trl import rollouts

    kind: Any = getattr(rollouts, algorithm)
    tokenizer = AutoTokenizer.from_pretrained(policy)
    codec = HFCodec(AutoTokenizer.from_pretrained(policy), name="policy")
    prompts = [row["prompt"] for row in world.rl_rows(5)]
    args = kind.config(str(tmp_path), use_cpu=True, bf16=False, num_generations=2, per_device_train_batch_size=2)
    trainer = kind(
        AutoModelForCausalLM.from_pretrained(policy),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=args,
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer,
    )
    assert trainer._tokenize_prompts(prompts)[0] == [codec.encode(prompt) for prompt in prompts]
    plain = super(rollouts.RolloutTrainer, trainer)._tokenize_prompts(prompts)[0]
    assert plain[0][:2] == [0, 0]  # what is guarded against: two BOS


def test_rloo_runs(policy: Path, tmp_path: Path) -> None:
    data = {"train": world.write(tmp_path / "rl.parquet", world.rl_rows(8))}
    spec = world.reward_spec(world.write_bonus(tmp_path / "bonus.py"), None, policy)
    options = {**RL, "num_iterations": 1, "lora": {"r": 4}}
    job = world.job("train-policy", tmp_path / "s", policy, data, algorithm="rloo", reward=spec, options=options)
    folder = world.work(job)
    TRLBackend().finish(job, folder)
    assert not (folder / "model" / "adapter_config.json").exists()
    assert set(world.weights(folder / "model")) == set(world.weights(policy))


def test_failing_bonus_stops_the_run_with_its_name(policy: Path, tmp_path: Path) -> None:
    data = {"train": world.write(tmp_path / "rl.parquet", world.rl_rows(8))}
    spec = world.reward_spec(world.write_bonus(tmp_path / "bonus.py", fail=True), None, policy)
    job = world.job("train-policy", tmp_path / "s", policy, data, reward=spec, options={**RL, "num_iterations": 1})
    error = json.loads((world.work(job, 1) / "error.json").read_text())
    assert "out of order" in error["message"]
    assert "bonus.py" in error["where"]
    assert "words" in error["where"]


def test_too_few_rows(policy: Path, tmp_path: Path) -> None:
    data = {"train": world.write(tmp_path / "rl.parquet", world.rl_rows(8))}
    spec = world.reward_spec(world.write_bonus(tmp_path / "bonus.py"), None, policy)
    options = {**RL, "num_iterations": 1, "max_steps": 5}
    job = world.job("train-policy", tmp_path / "s", policy, data, reward=spec, options=options)
    error = json.loads((world.work(job, 1) / "error.json").read_text())
    assert "has 8 rows, but 20 are needed" in error["message"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"weight_decy": 1}, "did you mean weight_decay"),
        ({"seed": 1}, "is set by salmon"),
    ],
)
def test_extra_arguments_are_checked(extra: dict[str, Any], message: str, policy: Path, tmp_path: Path) -> None:
    data = {"train": world.write(tmp_path / "d.parquet", world.preferences(16))}
    job = world.job("train-rm", tmp_path / "s", policy, data, options={**FAST, "extra": extra})
    assert message in json.loads((world.work(job, 1) / "error.json").read_text())["message"]


@pytest.mark.parametrize("text", ["{", "{}", '{"stage": "bake"}'])
def test_a_file_that_is_no_job(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "job.json").write_text(text)
    assert worker.main([str(tmp_path / "job.json")]) == 1
    assert "is no job" in json.loads((tmp_path / "error.json").read_text())["message"]
    assert "Traceback" not in capsys.readouterr().err


def test_missing_model(tmp_path: Path) -> None:
    data = {"train": world.write(tmp_path / "d.parquet", world.preferences(16))}
    job = world.job("train-rm", tmp_path / "s", tmp_path / "nowhere", data, options=FAST)
    assert "cannot load" in json.loads((world.work(job, 1) / "error.json").read_text())["message"]


def test_adapters_of_the_reward_model(policy: Path, tmp_path: Path) -> None:
    """Unmerged, the adapter folder with the score head gives the same scores as the merged model."""
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    data = {"train": world.write(tmp_path / "d.parquet", world.preferences(80))}
    scores = []
    for merge, loader in ((True, AutoModelForSequenceClassification), (False, AutoPeftModelForSequenceClassification)):
        options = {**FAST, "lora": {"r": 4}, "merge": merge}
        job = world.job("train-rm", tmp_path / str(merge), policy, data, options=options)
        folder = world.work(job)
        TRLBackend().finish(job, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder / "model")
        model = loader.from_pretrained(folder / "model", num_labels=1).eval()
        inputs = tokenizer("<s>red house</s>", add_special_tokens=False, return_tensors="pt")
        scores.append(model(**inputs).logits.item())
    assert scores[0] != 0
    assert math.isclose(scores[0], scores[1], rel_tol=1e-4)


def test_adapter_of_the_start_model(policy: Path, tmp_path: Path) -> None:
    """An adapter on the policy is merged first, also into the reference model: the KL starts at zero."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from salmon_core.api import ModelSpec

    torch.manual_seed(1)
    config = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(policy), config).save_pretrained(tmp_path / "adapter")
    data = {"train": world.write(tmp_path / "rl.parquet", world.rl_rows(4))}
    spec = world.reward_spec(world.write_bonus(tmp_path / "bonus.py"), None, policy)
    start = ModelSpec(str(policy), device="cpu", adapter=str(tmp_path / "adapter"))
    options = {**RL, "num_iterations": 1}
    job = world.job("train-policy", tmp_path / "s", policy, data, start=start, reward=spec, options=options)
    folder = world.work(job)
    assert world.steps(folder)[0][1]["kl"] == 0
    old, new = world.weights(policy), world.weights(folder / "model")
    assert (old["model.layers.0.mlp.up_proj.weight"] - new["model.layers.0.mlp.up_proj.weight"]).abs().max() > 0.05


def test_sft_learns_completions_only(policy: Path, tmp_path: Path) -> None:
    from salmon_core.api import ModelSpec
    from salmon_trl.common import load_tokenizer
    from salmon_trl.sft import completion_rows

    rows = [{"prompt": row["prompt"], "completion": "red green</s>"} for row in world.rl_rows(120)]
    data = {"train": world.write(tmp_path / "d.parquet", rows)}
    tokenizer = load_tokenizer(ModelSpec(str(policy)))
    ids = completion_rows(tokenizer, data["train"])
    for i, row in enumerate(rows):
        prompt = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
        assert ids["input_ids"][i][: len(prompt)] == prompt
        assert ids["labels"][i] == [-100] * len(prompt) + ids["input_ids"][i][len(prompt) :]
        assert ids["labels"][i][-1] == tokenizer.eos_token_id
    job = world.job("sft", tmp_path / "s", policy, data, options={**FAST, "logging_steps": 1, "num_train_epochs": 2})
    folder = world.work(job)
    TRLBackend().finish(job, folder)
    losses = [values["loss"] for _, values in world.steps(folder)]
    assert losses[-1] < losses[0] / 2
