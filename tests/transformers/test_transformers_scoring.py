"""Judging and rewards equal plain forward passes."""

from __future__ import annotations

import logging

import pytest
import torch
from transformers_texts import BOTH, VERDICT, judge_requests, plain_logits, plain_scores

from salmon_core.api import PrefixRequest
from salmon_core.errors import SalmonError


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("kind", "shares"),
    [("llama", True), ("gpt2", True), ("qwen2", True), ("mistral", True), ("gemma2", True), ("bloom", False)],
)
def test_choice_logits_equal_plain_forwards(make, engine, kind, shares, attention):
    folder = make(kind)
    loaded = engine(folder, "chooser", attn_implementation=attention if kind in BOTH else None)
    assert loaded._part.shares is shares
    assert loaded._part.body_only is (kind != "gemma2"), "soft-capped logits need the whole model"
    for same in (True, False):
        requests = judge_requests(same)
        got = loaded.choose(requests, ("a", "b"))
        expected = plain_logits(folder, loaded.codec, requests)
        assert torch.allclose(torch.tensor(got), torch.tensor(expected), atol=1e-4, rtol=0)
        assert torch.tensor(expected).std() > 0.02, "the comparison would mean nothing"


@pytest.mark.parametrize("budget", [1, 200, 100_000])
def test_the_batch_budget_changes_nothing(make, engine, budget):
    requests = judge_requests()
    usual = engine(make(), "chooser").choose(requests, ("a", "b"))
    got = engine(make(), "chooser", batch_tokens=budget).choose(requests, ("a", "b"))
    assert torch.allclose(torch.tensor(got), torch.tensor(usual), atol=1e-5, rtol=0)


def test_more_suffixes_than_one_pack_takes(make, engine):
    folder = make(max_position_embeddings=1024)
    loaded = engine(folder, "chooser", batch_tokens=256)
    suffixes = tuple(f"[[principle]] {'words and ' * (i + 3)}\n{VERDICT}" for i in range(20))
    requests = [PrefixRequest(f"the salmon {order}\n", suffixes) for order in ("one", "two", "three")]
    assert sum(len(loaded.codec.encode(s)) for s in suffixes) > 2 * loaded._part._reader.pack
    got = loaded.choose(requests, ("a", "b"))
    assert torch.allclose(torch.tensor(got), torch.tensor(plain_logits(folder, loaded.codec, requests)), atol=1e-4)


def test_choices_must_be_single_tokens(make, engine):
    loaded = engine(make(), "chooser")
    with pytest.raises(SalmonError, match=r"'salmon the' is not one token behind .*verdict.*makes \["):
        loaded.choose(judge_requests(), ("a", "salmon the"))
    with pytest.raises(SalmonError, match="not one token"):  # the space and the letter become one token
        loaded.choose([PrefixRequest("x", ("[[verdict]] ",))], ("a", "b"))
    with pytest.raises(SalmonError, match="same token"):
        loaded.choose(judge_requests(), ("a", "a"))


def test_a_text_too_long_is_an_error(make, engine):
    loaded = engine(make(max_position_embeddings=64), "chooser")
    with pytest.raises(SalmonError, match=r"request 1: .* exceeds the model's 64"):
        loaded.choose([PrefixRequest("x", ("\n",)), PrefixRequest("word " * 80, ("\n",))], ("a", "b"))


def test_nothing_in_nothing_out(make, engine):
    loaded = engine(make(), "chooser")
    assert loaded.choose([], ("a", "b")) == []
    assert loaded.choose([PrefixRequest("x", ())], ("a", "b")) == [[]]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "mistral", "gemma2", "bloom"])
@pytest.mark.parametrize("suffixes", [1, 4])
def test_rewards_equal_plain_sequence_classification(make, engine, kind, suffixes):
    folder = make(kind, reward=True)
    loaded = engine(folder, "scorer")
    tails = tuple(f"[[principle]] {'be brief ' * (i + 1)}\n[[score]]</s>" for i in range(suffixes))
    requests = [PrefixRequest(f"the salmon {'swims up ' * k}\n", tails) for k in (1, 2, 2, 9, 30)]
    got = loaded.score(requests)
    expected = plain_scores(folder, loaded.codec, requests)
    assert torch.allclose(torch.tensor(got), torch.tensor(expected), atol=1e-5, rtol=1e-5)
    assert torch.tensor(expected).std() > 0.01


def test_padding_does_not_change_a_reward(make, engine):
    loaded = engine(make(reward=True), "scorer", batch_tokens=100_000)
    requests = [PrefixRequest("the salmon " * k, ("\n</s>",)) for k in (10, 10, 11)]
    alone = [loaded.score([request])[0][0] for request in requests]
    widths = []
    loaded._part._body.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    together = [row[0] for row in loaded.score(requests)]
    assert len(widths) == 1, "all three in one padded batch"
    assert torch.allclose(torch.tensor(alone), torch.tensor(together), atol=1e-6)


def test_a_reward_head_that_is_no_linear_layer_goes_through_the_model(make, engine, monkeypatch, caplog):
    """A classifier whose forward does more than body and head: here it squashes the score."""
    from transformers import LlamaForSequenceClassification

    honest = LlamaForSequenceClassification.forward

    def squashed(self, *args, **inputs):
        output = honest(self, *args, **inputs)
        output.logits = torch.tanh(output.logits * 0.5)
        return output

    monkeypatch.setattr(LlamaForSequenceClassification, "forward", squashed)
    folder = make(reward=True)
    with caplog.at_level(logging.WARNING, "salmon"):
        loaded = engine(folder, "scorer")
    assert "not a plain linear layer" in caplog.text
    requests = [PrefixRequest("the salmon " * k, ("\n</s>", "words\n</s>")) for k in (3, 10, 11)]
    expected = plain_scores(folder, loaded.codec, requests)
    assert torch.allclose(torch.tensor(loaded.score(requests)), torch.tensor(expected), atol=1e-5)
