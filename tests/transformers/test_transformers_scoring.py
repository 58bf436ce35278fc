"""Judging and rewards equal plain forward passes; sharing is used exactly where it may be."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from salmon_core.api import ModelSpec, PrefixRequest
from salmon_core.errors import SalmonError
from salmon_transformers import scoring
from salmon_transformers.engine import TransformersEngine
from salmon_transformers.grouping import STEM, WASTE, families
from salmon_transformers.packed import PackedLinear, can_pack

VERDICT = "[[verdict]]\n"
#: architectures that can be told which attention to use
BOTH = ("llama", "gpt2", "qwen2", "mistral")


def judge_requests(same: bool = True) -> list[PrefixRequest]:
    """Prefixes of several lengths, twice each, and suffixes of several lengths."""
    requests = []
    for k in (1, 3, 3, 7, 20):
        suffixes = tuple(
            f"[[principle]] be brief{' and more' * (i % 3 + (0 if same else k % 4))} {i}\n{VERDICT}" for i in range(5)
        )
        for order in ("one two", "two one"):
            requests.append(PrefixRequest(f"[[instruction]] {'the salmon swims ' * k}[[output a]] {order}\n", suffixes))
    return requests


def plain_logits(folder: str, codec, requests: Sequence[PrefixRequest]) -> list[list[tuple[float, float]]]:
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    choices = [codec.encode(choice)[0] for choice in "ab"]
    with torch.no_grad():
        return [
            [tuple(model(torch.tensor([codec.encode(text)])).logits[0, -1, choices].tolist()) for text in request.texts]
            for request in requests
        ]


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
    loaded = engine(folder, "chooser")
    suffixes = tuple(f"[[principle]] {'words and ' * (i + 3)}\n{VERDICT}" for i in range(20))
    requests = [PrefixRequest(f"the salmon {order}\n", suffixes) for order in ("one", "two", "three")]
    assert sum(len(loaded.codec.encode(s)) for s in suffixes) > 2 * loaded._part._reader.pack
    got = loaded.choose(requests, ("a", "b"))
    assert torch.allclose(torch.tensor(got), torch.tensor(plain_logits(folder, loaded.codec, requests)), atol=1e-4)


def test_texts_that_tokenize_otherwise_as_a_whole_are_not_shared(make, engine):
    folder = make()
    loaded = engine(folder, "chooser")
    prefix, suffixes = "the riv", ("er\n", "er runs\n", "\nwords\n", "\n")
    encode = loaded.codec.encode
    assert encode(prefix) + encode(suffixes[0]) != encode(prefix + suffixes[0])
    requests = [PrefixRequest(prefix, suffixes), PrefixRequest("", suffixes), PrefixRequest("x\n", ("", "a\n", "b\n"))]
    got = loaded.choose(requests, ("a", "b"))
    expected = plain_logits(folder, loaded.codec, requests)
    for ours, plain in zip(got, expected, strict=True):
        assert torch.allclose(torch.tensor(ours), torch.tensor(plain), atol=1e-4)


def test_a_model_that_cannot_share_says_so_once_and_is_right(make, engine, caplog):
    with caplog.at_level(logging.WARNING, "salmon"):
        loaded = engine(make("bloom"), "chooser")
        loaded.choose(judge_requests(), ("a", "b"))
        loaded.choose(judge_requests(), ("a", "b"))
    assert len(caplog.records) == 1
    assert "prefixes cannot be shared" in caplog.text


def test_the_probe_notices_a_mask_that_is_not_honoured(make, engine, caplog, monkeypatch):
    """A Llama whose body drops 4D masks, as attention kernels without custom masks do."""
    from transformers import LlamaModel

    honest = LlamaModel.forward

    def deaf(self, input_ids=None, attention_mask=None, position_ids=None, past_key_values=None, **inputs):
        if attention_mask is not None and attention_mask.ndim == 4:
            attention_mask = None
        return honest(
            self,
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **inputs,
        )

    monkeypatch.setattr(LlamaModel, "forward", deaf)
    folder = make()
    with caplog.at_level(logging.WARNING, "salmon"):
        loaded = engine(folder, "chooser")
    assert "packed and plain passes differ" in caplog.text
    requests = judge_requests()
    got = loaded.choose(requests, ("a", "b"))
    assert torch.allclose(torch.tensor(got), torch.tensor(plain_logits(folder, loaded.codec, requests)), atol=1e-4)


def test_texts_beyond_a_sliding_window_are_read_alone(make, engine):
    loaded = engine(make("mistral"), "chooser")
    assert loaded._part._longest_shared == 32
    requests = judge_requests()
    starts = [5 * i for i in range(len(requests) + 1)]
    shared, _, plain, _ = loaded._part._plan(requests, starts)
    assert shared
    assert plain
    assert all(len(text) > 32 for text in plain)


def tokens_seen(loaded) -> list[tuple[int, ...]]:
    """Shapes of what the model's body is given from now on."""
    seen: list[tuple[int, ...]] = []
    loaded._part._body.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return seen


def alike(texts: Sequence[Sequence[int]]) -> int:
    """How many tokens all of them begin with."""
    return next(i for i, column in enumerate(zip(*texts, strict=False)) if len(set(column)) > 1)


def test_each_beginning_is_encoded_once(make, engine):
    """The instruction for both orders and for pairs of one prompt, an order for its principles, their marker too."""
    loaded = engine(make(), "chooser", batch_tokens=1)  # nothing is padded
    encode, seen = loaded.codec.encode, tokens_seen(loaded)
    suffixes = tuple(f"[[principle]] {text}\n{VERDICT}" for text in ("one two", "be brief", "and the river"))
    requests, unique = [], 0
    for words, pairs in (("the salmon swims up", (("one", "two"),)), ("a river runs", (("x", "y"), ("u v", "w")))):
        instruction = f"[[instruction]] {words * 3}\n[[output a]]\n"
        orders = [order for pair in pairs for order in (pair, pair[::-1])]
        family = [f"{instruction}{first}\n[[output b]]\n{second}\n" for first, second in orders]
        requests += [PrefixRequest(prefix, suffixes) for prefix in family]
        marker = alike([encode(suffix) for suffix in suffixes])
        tails = sum(len(encode(suffix)) - marker for suffix in suffixes)
        stem = alike([encode(prefix) for prefix in family])
        assert stem > 16
        assert marker > 1
        unique += stem + sum(len(encode(prefix)) - stem + marker + tails for prefix in family)
    got = loaded.choose(requests, ("a", "b"))
    assert sum(rows * width for rows, width in seen) == unique
    expected = plain_logits(make(), loaded.codec, requests)
    assert torch.allclose(torch.tensor(got), torch.tensor(expected), atol=1e-5, rtol=0)


def test_batches_are_hardly_padded(make, engine):
    loaded = engine(make(), "chooser", batch_tokens=100_000)
    seen, encode, requests = tokens_seen(loaded), loaded.codec.encode, judge_requests()
    loaded.choose(requests, ("a", "b"))
    unique = sum(len(encode(r.prefix)) + sum(len(encode(s)) for s in r.suffixes) for r in requests)
    assert sum(rows * width for rows, width in seen) <= unique * (1 + WASTE)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 60), st.lists(st.integers(0, 1), min_size=1, max_size=5)),
        min_size=1,
        max_size=12,
    )
)
def test_families_share_what_they_say(drawn):
    prefixes = [[first + 10, *[5] * length, *rest] for first, length, rest in drawn]
    found = families(prefixes)
    assert sorted(row for each in found for row in each.rows) == list(range(len(prefixes)))
    for each in found:
        assert (each.stem >= STEM) == (len(each.rows) > 1)
        stem = prefixes[each.rows[0]][: each.stem]
        assert all(prefixes[row][: each.stem] == stem and len(prefixes[row]) > each.stem for row in each.rows)


def test_families_save_the_most():
    """All begin alike, but what a prompt's own pairs share is more."""
    system, one, two = [1] * 20, [2] * 100, [3] * 100
    prefixes = [[*system, *task, answer] for answer in range(7, 11) for task in (one, two)]
    found = families(prefixes)
    assert sorted((each.stem, sorted(each.rows)) for each in found) == [(120, [0, 2, 4, 6]), (120, [1, 3, 5, 7])]
    short = [[*system, *([4] * 3), answer] for answer in range(7, 9)]
    assert [(each.stem, len(each.rows)) for each in families(short)] == [(23, 2)]
    assert families([]) == []


def test_pairs_of_one_prompt_whose_batches_are_several(make, engine):
    """Rows of one family in batches of their own, all behind the one stem, which none of them may change."""
    folder = make(max_position_embeddings=1024)
    texts = ("a", "b and more of it " * 9, "c and more " * 5, "d")
    prefixes = [f"[[instruction]] {'the salmon swims ' * 9}\n{one}\n{two}\n" for one in texts for two in texts]
    suffixes = tuple(f"[[principle]] {'words and ' * (i + 3)}\n{VERDICT}" for i in range(6))
    requests = [PrefixRequest(prefix, suffixes) for prefix in prefixes]
    loaded = engine(folder, "chooser", batch_tokens=700)
    seen = tokens_seen(loaded)
    got = loaded.choose(requests, ("a", "b"))
    assert len({rows for rows, _ in seen}) > 1
    expected = plain_logits(folder, loaded.codec, requests)
    assert torch.allclose(torch.tensor(got), torch.tensor(expected), atol=1e-5, rtol=0)


def seen_by_last_block(loaded) -> list[tuple[int, ...]]:
    """Shapes that the last layer's feed-forward block is given from now on."""
    shapes: list[tuple[int, ...]] = []
    body = loaded._part._body
    layer = (body.layers if hasattr(body, "layers") else body.h)[-1]
    layer.mlp.register_forward_pre_hook(lambda module, inputs: shapes.append(tuple(inputs[0].shape)))
    return shapes


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "mistral"])
def test_the_last_block_is_computed_where_it_is_read(make, engine, kind):
    """That scores stay right is what the other tests say."""
    loaded = engine(make(kind, reward=True), "scorer", batch_tokens=100_000)
    shapes = seen_by_last_block(loaded)
    requests = [PrefixRequest("the salmon " * k, ("\n</s>",)) for k in (10, 10, 11)]
    loaded.score(requests)
    assert [shape[:2] for shape in shapes] == [(3, 2)], "two different last positions, of three rows"


def test_a_last_block_that_looks_at_other_positions_is_computed_whole(make, engine, monkeypatch):
    from transformers.models.llama.modeling_llama import LlamaMLP

    honest = LlamaMLP.forward
    monkeypatch.setattr(LlamaMLP, "forward", lambda self, x: honest(self, x.cumsum(1) / 10))
    folder = make(reward=True)
    loaded = engine(folder, "scorer")
    assert loaded._part.body_only
    shapes = seen_by_last_block(loaded)
    requests = [PrefixRequest("the salmon " * k, ("\n</s>",)) for k in (3, 10)]
    got = loaded.score(requests)
    assert min(shape[1] for shape in shapes) > 3
    expected = plain_scores(folder, loaded.codec, requests)
    assert torch.allclose(torch.tensor(got), torch.tensor(expected), atol=1e-5)


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


def plain_scores(folder: str, codec, requests: Sequence[PrefixRequest]) -> list[list[float]]:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        return [[model(torch.tensor([codec.encode(t)])).logits[0, 0].item() for t in r.texts] for r in requests]


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


def test_bfloat16_still_shares(make, engine):
    loaded = TransformersEngine().chooser(ModelSpec(make(), dtype="bfloat16", device="cpu"))
    assert loaded._part.shares
    assert loaded._part.body_only
    got = torch.tensor(loaded.choose(judge_requests(), ("a", "b")))
    expected = torch.tensor(plain_logits(make(), loaded.codec, judge_requests()))
    assert (got - expected).abs().max() < 0.2


def test_where_lengths_change_the_positions_sharing_ends():
    class Config:
        max_position_embeddings = 4096
        sliding_window = None
        rope_parameters: dict = {"rope_type": "longrope", "original_max_position_embeddings": 1024}  # noqa: RUF012

    assert scoring._longest_shared(Config()) == 1024
    Config.sliding_window = 512
    assert scoring._longest_shared(Config()) == 512
    Config.use_sliding_window = False
    Config.rope_parameters = {"full_attention": {"rope_type": "dynamic"}}
    assert scoring._longest_shared(Config()) == 4096
    Config.rope_parameters = {"rope_type": "default"}
    assert scoring._longest_shared(Config()) > 10**8


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
