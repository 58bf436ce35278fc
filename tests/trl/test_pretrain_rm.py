"""A reward model on other preferences first, and a language model's loss beside its own, with tiny real models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import torch
import trl_world as world
from safetensors.torch import load_file

from salmon_core.api import Job, Leaves, LoggedStep
from salmon_core.errors import ConfigError, SalmonError
from salmon_trl.backend import TRLBackend

FAST = {"per_device_train_batch_size": 8, "total_batch_size": 8, "learning_rate": 3e-3, "logging_steps": 1}
LORA = {"r": 4, "alpha": 8}
#: training that moves nothing: what is left is what was started from
STILL = {**FAST, "learning_rate": 1e-12, "max_steps": 2}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.make_policy(tmp_path_factory.mktemp("models") / "policy")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"train": world.write(tmp_path_factory.mktemp("data") / "train.parquet", world.preferences(160))}


def pretrained(folder: Path, policy: Path, data: dict[str, str], **options: Any) -> Job:
    job = world.job("pretrain-rm", folder, policy, data, options={**FAST, **options})
    world.work(job)
    return job


@pytest.fixture(scope="module")
def whole(policy: Path, data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Job:
    return pretrained(tmp_path_factory.mktemp("whole"), policy, data)


@pytest.fixture(scope="module")
def adapter(policy: Path, data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Job:
    return pretrained(tmp_path_factory.mktemp("adapter"), policy, data, lora=LORA, merge=False)


def after(first: Job, folder: Path, data: dict[str, str], **options: Any) -> Job:
    """The job of train-rm behind one of pretrain-rm, as the stage makes it."""
    job = world.job("train-rm", folder, Path(first.folder) / "model", data, options={**STILL, **options})
    return replace(job, made={"start": TRLBackend().leaves(first)})


def weights(job: Job) -> dict[str, torch.Tensor]:
    (file,) = (Path(job.folder) / "model").glob("*.safetensors")
    return load_file(file)


def scores(folder: Path, texts: list[str], policy: Path) -> torch.Tensor:
    """By the folder's model, or by its adapter on the policy."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    if (folder / "adapter_config.json").exists():
        from peft import PeftModel

        base = AutoModelForSequenceClassification.from_pretrained(policy, num_labels=1, dtype=torch.float32)
        base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model: Any = PeftModel.from_pretrained(base, folder)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    ids = [tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"] for text in texts]
    with torch.no_grad():
        return torch.stack([model(input_ids=each).logits.squeeze() for each in ids])


TEXTS = [row[side] for row in world.preferences(24) for side in ("chosen", "rejected")]  # as trained on


def steps(job: Job) -> list[LoggedStep]:
    return list(TRLBackend().steps(Path(job.folder)))


def test_it_learns_and_the_head_comes_along(whole: Job, policy: Path, data: dict[str, str], tmp_path: Path) -> None:
    assert steps(whole)[-1].values["accuracy"] > 0.9
    before = scores(Path(whole.folder) / "model", TEXTS, policy)
    assert (before[::2] > before[1::2]).float().mean() > 0.8
    second = after(whole, tmp_path / "second", data)
    world.work(second)
    assert torch.allclose(scores(Path(second.folder) / "model", TEXTS, policy), before, atol=1e-6)
    alone = world.job("train-rm", tmp_path / "alone", Path(whole.folder) / "model", data, options=STILL)
    world.work(alone)  # `reward_model.init` names it: a fresh head, as ever
    assert weights(alone)["score.weight"].abs().max() < 1e-6


def test_an_adapter_is_trained_further_on_the_same_base(
    adapter: Job, policy: Path, data: dict[str, str], tmp_path: Path
) -> None:
    """So that RL can share the base: `sharing: adapters`."""
    before = scores(Path(adapter.folder) / "model", TEXTS, policy)
    assert (before[::2] > before[1::2]).float().mean() > 0.8
    second = after(adapter, tmp_path / "second", data, lora=LORA, merge=False)
    world.work(second)
    config = json.loads((Path(second.folder) / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(policy) == TRLBackend().leaves(second).base
    assert config["r"] == LORA["r"]
    first, last = weights(adapter), weights(second)
    assert first.keys() == last.keys()
    assert any("score" in name for name in first)
    for name, value in first.items():
        assert torch.allclose(value, last[name], atol=1e-6), name
    # And it moves where the learning rate says so, the head too.
    moved = after(adapter, tmp_path / "moved", data, lora=LORA, merge=False, learning_rate=1e-2, max_steps=4)
    world.work(moved)
    different = {name for name, value in weights(moved).items() if not torch.equal(value, first[name])}
    assert any("score" in name for name in different)
    assert any("lora_A" in name for name in different)


@pytest.mark.parametrize("options", [{}, {"lora": LORA}], ids=["all weights", "merged in the end"])
def test_an_adapter_is_merged_where_none_is_left(
    adapter: Job, policy: Path, data: dict[str, str], tmp_path: Path, options: dict[str, Any]
) -> None:
    before = scores(Path(adapter.folder) / "model", TEXTS, policy)
    second = after(adapter, tmp_path / "second", data, **options)
    world.work(second)
    assert not (Path(second.folder) / "model" / "adapter_config.json").exists()
    assert torch.allclose(scores(Path(second.folder) / "model", TEXTS, policy), before, atol=1e-5)


def test_what_cannot_go_on_is_said_in_the_plan(adapter: Job, whole: Job, data: dict[str, str], tmp_path: Path) -> None:
    backend = TRLBackend()
    assert backend.leaves(whole) == Leaves(base=whole.model.path)
    with pytest.raises(ConfigError, match=r"options.lora.*r: 8, alpha: 8.*r: 4, alpha: 8.*merge: true"):
        backend.plan(after(adapter, tmp_path, data, lora={"r": 8, "alpha": 8}))
    backend.plan(after(whole, tmp_path, data, lora={"r": 8, "alpha": 8}))
    own = replace(adapter, model=replace(adapter.model, adapter="/other"))
    with pytest.raises(ConfigError, match=r"options.merge.*whole model"):
        backend.plan(own)


# -- the language model's loss ----------------------------------------------------------------------------------------


def answered(count: int) -> list[dict[str, Any]]:
    """Rows that say where the chosen text's answer stands: its last two words; of one row, nowhere."""
    rows = []
    for number, row in enumerate(world.preferences(count, seed=2)):
        text = row["chosen"]
        end = text.index("</s>")
        start = text.rindex(" ", 0, text.rindex(" ", 0, end)) if number else end
        rows.append({**row, "answer_start": start, "answer_end": end})
    return rows


def made(policy: Path, file: str, folder: Path, coefficient: float) -> tuple[Any, Any]:
    """A trainer as the stage makes it, with a head that is not zero, and a batch of all rows."""
    from datasets import Dataset
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import DataCollatorForPreference

    from salmon_trl import answer_loss, reward_model
    from salmon_trl.common import load_tokenizer
    from salmon_trl.options import RewardOptions

    options = RewardOptions(lm_loss_coef=coefficient, head_init="default", use_margin=True)
    tokenizer: Any = load_tokenizer(world.job("train-rm", folder, policy, {}).model)
    reward_model.add_pad_token(tokenizer)
    rows = reward_model.preference_rows(tokenizer, file, margin=True, answers=coefficient > 0)
    torch.manual_seed(3)
    model = reward_model.load_scorer(str(policy), tokenizer, options, dtype=torch.float32)
    torch.nn.init.normal_(model.score.weight, std=0.2)  # type: ignore[union-attr, arg-type]
    collator: Any = DataCollatorForPreference(tokenizer.pad_token_id)
    if coefficient:
        collator = answer_loss.AnswerCollator(collator)
    args = RewardConfig(str(folder), use_cpu=True, bf16=False, report_to="none", max_length=None, disable_dropout=True)
    found = reward_model.RewardModelTrainer(
        model, args, data_collator=collator, train_dataset=Dataset.from_dict(rows), processing_class=tokenizer
    )
    if coefficient:
        found.answers = answer_loss.AnswerLoss(model, str(policy), coefficient)
    examples = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    return found, collator(examples)


@pytest.mark.parametrize("tied", [True, False])
def test_the_mixed_loss_is_what_one_computes_by_hand(tmp_path: Path, tied: bool) -> None:
    """Value and gradient, by the language model itself and by one row at a time."""
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    policy = world.make_policy(tmp_path / "policy")
    if not tied:
        loose = LlamaForCausalLM.from_pretrained(policy)
        loose.config.tie_word_embeddings = False
        loose.lm_head.weight = torch.nn.Parameter(torch.randn_like(loose.lm_head.weight) * 0.1)
        loose.save_pretrained(policy)
    rows, c = answered(6), 0.7
    file = world.write(tmp_path / "rows.parquet", rows)
    trainer, batch = made(policy, file, tmp_path / "out", c)
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    tokenizer = trainer.processing_class
    language: Any = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    head = trainer.model.score.weight.detach()
    ranking, said, count = torch.tensor(0.0), torch.tensor(0.0), 0
    for row in rows:
        reward = {}
        for side in ("chosen", "rejected"):
            ids = tokenizer(row[side], add_special_tokens=False, return_tensors="pt")["input_ids"]
            states = language.model(ids).last_hidden_state[0]
            reward[side] = states[-1] @ head[0]
            if side == "rejected":
                continue
            at = len(tokenizer(row[side][: row["answer_start"]], add_special_tokens=False)["input_ids"])
            end = len(tokenizer(row[side][: row["answer_end"]], add_special_tokens=False)["input_ids"])
            log = torch.log_softmax(language.lm_head(states), -1)
            said = said - sum((log[t - 1, ids[0, t]] for t in range(at, end)), torch.tensor(0.0))
            count += end - at
        ranking = ranking - torch.nn.functional.logsigmoid(reward["chosen"] - reward["rejected"] - row["margin"])
    assert count > 5
    by_hand = ranking / len(rows) + c * said / count
    assert abs(loss.item() - by_hand.item()) < 1e-6
    by_hand.backward()
    for name, value in language.model.named_parameters():
        own = trainer.model.model.get_parameter(name).grad[: len(value)]
        assert torch.allclose(own, value.grad, atol=1e-6), name


def test_without_it_the_loss_is_trl_s_own(policy: Path, tmp_path: Path) -> None:
    """To the bit."""
    from trl.trainer.reward_trainer import RewardTrainer

    file = world.write(tmp_path / "rows.parquet", answered(6))
    trainer, batch = made(policy, file, tmp_path / "out", 0.0)
    loss = trainer.compute_loss(trainer.model, dict(batch))
    assert loss.item() == RewardTrainer.compute_loss(trainer, trainer.model, dict(batch)).item()


def test_it_is_trained_and_logged(policy: Path, tmp_path: Path) -> None:
    file = world.write(tmp_path / "rows.parquet", answered(80))
    options = {**FAST, "lm_loss_coef": 0.5, "num_train_epochs": 2, "lora": LORA}
    job = world.job("pretrain-rm", tmp_path / "stage", policy, {"train": file}, options=options)
    world.work(job)
    logged = [step.values for step in steps(job)]
    assert logged[-1]["lm_loss"] < logged[0]["lm_loss"]
    assert logged[-1]["accuracy"] > 0.8


def test_a_head_that_is_not_there_is_said(whole: Job, tmp_path: Path) -> None:
    """A reward model with embeddings of its own has no language model's head any more."""
    from transformers import AutoModelForSequenceClassification

    from salmon_trl.answer_loss import AnswerLoss

    model: Any = AutoModelForSequenceClassification.from_pretrained(Path(whole.folder) / "model")
    model.config.tie_word_embeddings = False
    model.save_pretrained(tmp_path / "loose")
    with pytest.raises(SalmonError, match="no language model's head"):
        AnswerLoss(model, str(tmp_path / "loose"), 1.0)
