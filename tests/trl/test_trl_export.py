"""TRL's own trainers on what `salmon export` writes: as it is, without a word of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import trl_world as world

from salmon_core.api.templates import Template
from salmon_core.data import parquet
from salmon_core.records import PreferenceRow, ShownPrinciple
from salmon_core.reward.rendering import Renderer
from salmon_core.stages.exports import exported, schema_of

RED, BLUE = ShownPrinciple("red", "The answer is red."), ShownPrinciple("blue", "The answer is blue.")


def rows() -> list[PreferenceRow]:
    """The same answers, chosen by the principle."""
    found = []
    for number, shown in enumerate((RED, BLUE) * 4):
        messages = ({"role": "user", "content": f"house tree {number}"},)
        texts = ("red</s> bird", "blue bird") if shown is RED else ("blue bird", "red</s> bird")
        found.append(PreferenceRow(f"p{number}", messages, "general", (shown,), *texts, 1.0, shown.name))
    return found


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.make_policy(tmp_path_factory.mktemp("models") / "policy")


@pytest.fixture(scope="module")
def renderer(policy: Path) -> Renderer:
    from transformers import AutoTokenizer

    from salmon_core.kit.hf import HFCodec
    from salmon_judge.template import STANDARD

    template: Template = STANDARD
    return Renderer(template, HFCodec(AutoTokenizer.from_pretrained(policy), name="policy"))


def load(folder: Path, form: Any, renderer: Renderer) -> Any:
    from datasets import load_dataset

    file = folder / "train.parquet"
    parquet.write_rows(file, exported(rows(), form, "prompt", renderer), schema_of(form, "prompt"))
    return load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(folder / "cache"))


@pytest.mark.parametrize("form", ["trl", "trl-conversational"])
def test_dpo_trainer(form: str, policy: Path, renderer: Renderer, tmp_path: Path) -> None:
    """One BOS, the principle once, the answer with one EOS; and it trains."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(policy)
    args = DPOConfig(str(tmp_path / "out"), max_steps=2, use_cpu=True, bf16=False, report_to="none", max_length=None)
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(policy),
        args=args,
        train_dataset=load(tmp_path, form, renderer),
        processing_class=tokenizer,
    )
    for row, ids in zip(rows(), trainer.train_dataset, strict=True):
        prompt = tokenizer.decode(ids["prompt_ids"])
        principle = f"[[principle]] {row.principles[0].text} [[end of principle]]"
        assert prompt == f"<s><|user|>{row.messages[0]['content']}\n\n{principle}\n<|assistant|>"
        chosen = tokenizer.decode(ids["chosen_ids"])
        assert chosen.count("</s>") == (1 if form == "trl" else 0)  # the template of this policy has none
        assert "bird" in chosen
    trainer.train()


@pytest.mark.parametrize("form", ["trl", "trl-conversational"])
def test_reward_trainer(form: str, policy: Path, renderer: Renderer, tmp_path: Path) -> None:
    """Tokens as in a conversation; what says that it ends a text, and does not, is made plain; and it trains."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    tokenizer = AutoTokenizer.from_pretrained(policy)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    model = AutoModelForSequenceClassification.from_pretrained(policy, num_labels=1)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.pad_token_id = tokenizer.pad_token_id
    args = RewardConfig(str(tmp_path / "out"), max_steps=2, use_cpu=True, bf16=False, report_to="none")
    data = load(tmp_path, form, renderer)
    assert "margin" not in data.column_names  # TRL would use it
    trainer = RewardTrainer(model, args, train_dataset=data, processing_class=tokenizer)
    assert len(trainer.train_dataset) == len(rows())
    for row in trainer.train_dataset:
        for side in ("chosen_ids", "rejected_ids"):
            assert row[side].count(tokenizer.bos_token_id) == 1
            assert row[side].count(tokenizer.eos_token_id) == (1 if form == "trl" else 0)
    trainer.train()
