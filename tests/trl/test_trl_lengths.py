"""Texts of unequal lengths in a reward model's batch: hardly any padding is computed, and nothing else changes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("trl")
import torch
import trl_world as world

from salmon_trl.lengths import TOLERATED, WORTH, Parted, groups


@given(st.lists(st.integers(1, 600), max_size=24), st.integers(1, 200))
def test_each_row_is_in_one_pass_and_no_pass_is_cut_in_vain(lengths: list[int], worth: int) -> None:
    passes = groups(lengths, worth)
    assert sorted(row for rows in passes for row in rows) == list(range(len(lengths)))
    padded = sum(len(rows) * max(lengths[row] for row in rows) for rows in passes)
    whole = len(lengths) * max(lengths, default=0)
    assert padded + (len(passes) - 1) * worth <= whole
    for rows in passes:
        own = sorted(lengths[row] for row in rows)
        width = len(own) * own[-1]
        if width - sum(own) > TOLERATED * width:
            assert all(i * (own[-1] - own[i - 1]) < worth for i in range(1, len(own)))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory):
    from salmon_core.api import ModelSpec
    from salmon_trl.common import load_tokenizer
    from salmon_trl.options import RewardOptions
    from salmon_trl.reward_model import add_pad_token, load_scorer

    path = world.make_policy(tmp_path_factory.mktemp("models") / "policy")
    tokenizer = load_tokenizer(ModelSpec(str(path)))
    add_pad_token(tokenizer)
    return path, load_scorer(str(path), tokenizer, RewardOptions(head_init="default"))


def test_scores_and_gradients_are_those_of_the_padded_batch(scorer) -> None:
    _, model = scorer
    rng = random.Random(3)
    lengths = [3, 90, 5, 88, 4, 91, 40, 2]
    ids = torch.full((8, 91), model.config.pad_token_id)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.tensor([rng.randrange(10, 60) for _ in range(length)])
        mask[row, :length] = 1
    assert len(groups(lengths, WORTH["cpu"])) == 3
    found = []
    for reads in (model, Parted(model)):
        model.zero_grad()
        logits = reads(input_ids=ids, attention_mask=mask, use_cache=False).logits
        (logits.squeeze(-1) * torch.arange(8.0)).sum().backward()
        found.append([logits.detach(), *(each.grad.clone() for each in model.parameters() if each.grad is not None)])
    assert len(found[0]) > 10
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_training_computes_hardly_any_padding(scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word against an argument, in every pair: of padded batches, nearly half would be padding."""
    from transformers import LlamaForSequenceClassification

    rng = random.Random(1)
    pairs = [(world.words(rng, 1, 3), world.words(rng, 70, 90)) for _ in range(48)]
    rows = [
        {"chosen": f"<s>{one}</s>", "rejected": f"<s>{two}</s>", "margin": 1.0}
        for one, two in (rng.sample(pair, 2) for pair in pairs)
    ]
    seen: list[torch.Tensor] = []
    honest = LlamaForSequenceClassification.forward

    def counted(self, input_ids=None, attention_mask=None, **more):
        seen.append(attention_mask)
        return honest(self, input_ids=input_ids, attention_mask=attention_mask, **more)

    monkeypatch.setattr(LlamaForSequenceClassification, "forward", counted)
    data = {"train": world.write(tmp_path / "rows.parquet", rows)}
    options = {"per_device_train_batch_size": 8, "total_batch_size": 8, "num_train_epochs": 1, "max_length": 512}
    world.work(world.job("train-rm", tmp_path / "stage", scorer[0], data, options=options))
    real, computed = sum(int(mask.sum()) for mask in seen), sum(mask.numel() for mask in seen)
    assert sum(len(mask) for mask in seen) == 96
    assert real > 0.95 * computed
