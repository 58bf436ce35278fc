"""Linear layers in oneDNN's layout: where it pays, and with the same results."""

from __future__ import annotations

import pytest
import torch
from transformers_texts import judge_requests, plain_logits, plain_scores, tokens_seen

from salmon_core.api import ModelSpec, PrefixRequest
from salmon_transformers import scoring
from salmon_transformers.engine import TransformersEngine
from salmon_transformers.packed import PackedLinear, can_pack


def packed_layers(loaded) -> int:
    return sum(isinstance(each, PackedLinear) for each in loaded._part._body.modules())


def test_linear_layers_are_packed_where_the_cpu_gains_by_it(make, engine, monkeypatch):
    if not can_pack(torch.nn.Linear(2, 2)):
        pytest.skip("no x86 CPU, or a PyTorch without oneDNN")
    folder = make(reward=True)
    for gains in (False, True):
        monkeypatch.setattr(scoring, "gains", lambda gains=gains: gains)
        assert packed_layers(engine(folder, "scorer")) == gains * 2 * 7
        half = TransformersEngine().scorer(ModelSpec(folder, dtype="bfloat16", device="cpu"))
        assert packed_layers(half) == 0


@pytest.mark.parametrize("budget", [1, 100_000])
def test_packed_layers_judge_the_same(make, engine, monkeypatch, budget):
    """Whatever this CPU's maker: sequences filled up to a multiple, behind stems and behind prefixes."""
    if not can_pack(torch.nn.Linear(2, 2)):
        pytest.skip("no x86 CPU, or a PyTorch without oneDNN")
    monkeypatch.setattr(scoring, "gains", lambda: True)
    loaded = engine(make(), "chooser", batch_tokens=budget)
    seen = tokens_seen(loaded)
    got = loaded.choose(judge_requests(), ("a", "b"))
    assert all(width % 16 == 0 for _, width in seen)
    expected = plain_logits(make(), loaded.codec, judge_requests())
    assert torch.allclose(torch.tensor(got), torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(1, 3), (5, 3), (2, 7, 3), (40, 3)])
def test_a_packed_layer_computes_the_same(shape):
    if not can_pack(torch.nn.Linear(2, 2)):
        pytest.skip("no x86 CPU, or a PyTorch without oneDNN")
    for bias in (True, False):
        linear, inputs = torch.nn.Linear(3, 50, bias=bias), torch.randn(shape)
        assert torch.allclose(PackedLinear(linear)(inputs), linear(inputs), atol=1e-6)


def test_layers_that_compute_otherwise_when_packed_stay_as_they_are(make, engine, monkeypatch):
    monkeypatch.setattr(scoring, "gains", lambda: True)
    honest = PackedLinear.forward
    monkeypatch.setattr(PackedLinear, "forward", lambda self, inputs: 1.01 * honest(self, inputs))
    folder = make(reward=True)
    loaded = engine(folder, "scorer")
    assert packed_layers(loaded) == 0
    requests = [PrefixRequest("the salmon " * k, ("\n</s>",)) for k in (3, 10)]
    expected = plain_scores(folder, loaded.codec, requests)
    assert torch.allclose(torch.tensor(loaded.score(requests)), torch.tensor(expected), atol=1e-5)
