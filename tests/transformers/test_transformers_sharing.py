"""What texts share is encoded once, and only what is read is computed, exactly where a model allows it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers_texts import BOTH, VERDICT, judge_requests, plain_logits, plain_scores, tokens_seen

from salmon_core.api import ModelSpec, PrefixRequest
from salmon_transformers import cascade, scoring
from salmon_transformers.engine import TransformersEngine
from salmon_transformers.grouping import STEM, WASTE, families


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
        loaded = engine(folder, "chooser", attn_implementation="eager")
    assert "packed and plain passes differ" in caplog.text
    requests = judge_requests()
    got = loaded.choose(requests, ("a", "b"))
    assert torch.allclose(torch.tensor(got), torch.tensor(plain_logits(folder, loaded.codec, requests)), atol=1e-4)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("budget", [1, 200, 100_000])
def test_attention_in_parts_is_the_attention_under_a_mask(make, engine, kind, same, budget, monkeypatch):
    """Grouped heads and plain ones, padded beginnings, suffixes of several lengths and counts."""
    folder, requests = make(kind), judge_requests(same)
    parted = engine(folder, "chooser", batch_tokens=budget)
    assert parted._part._reader.cascade
    monkeypatch.setattr(scoring, "can_cascade", lambda body: False)
    masked = engine(folder, "chooser", batch_tokens=budget)
    assert not masked._part._reader.cascade
    ours, theirs = (torch.tensor(each.choose(requests, ("a", "b"))) for each in (parted, masked))
    assert torch.allclose(ours, theirs, atol=1e-5, rtol=0)
    assert torch.allclose(ours, torch.tensor(plain_logits(folder, parted.codec, requests)), atol=1e-4, rtol=0)


def test_attention_is_in_parts_only_where_that_changes_nothing(make, engine, monkeypatch):
    honest = torch.lerp
    monkeypatch.setattr(cascade.torch, "lerp", lambda one, two, share: honest(one, two, 1 - share))
    folder, requests = make(), judge_requests()
    loaded = engine(folder, "chooser")
    assert not loaded._part._reader.cascade
    assert loaded._part.shares
    got = torch.tensor(loaded.choose(requests, ("a", "b")))
    assert torch.allclose(got, torch.tensor(plain_logits(folder, loaded.codec, requests)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("how", [{"attn_implementation": "eager"}, {"device_map": "auto"}])
def test_another_attention_is_left_as_it_is(make, engine, how):
    loaded = engine(make(), "chooser", **how)
    assert loaded._part._reader.cascade == ("device_map" in how)
    assert loaded._part.shares


def test_texts_beyond_a_sliding_window_are_read_alone(make, engine):
    loaded = engine(make("mistral"), "chooser")
    assert loaded._part._longest_shared == 32
    requests = judge_requests()
    starts = [5 * i for i in range(len(requests) + 1)]
    shared, _, plain, _ = loaded._part._plan(requests, starts)
    assert shared
    assert plain
    assert all(len(text) > 32 for text in plain)


def alike(texts: Sequence[Sequence[int]]) -> int:
    """How many tokens all of them begin with."""
    return next(i for i, column in enumerate(zip(*texts, strict=False)) if len(set(column)) > 1)


def test_each_beginning_is_encoded_once(make, engine, monkeypatch):
    """The instruction for both orders and for pairs of one prompt, an order for its principles, their marker too."""
    monkeypatch.setattr(scoring, "gains", lambda: False)  # where it does, passes are filled up to whole rows
    loaded = engine(make(), "chooser", batch_tokens=STEM)  # nothing is padded
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


def test_a_budget_of_one_reads_each_request_by_itself(make, engine):
    """To the last bit: with others or alone."""
    loaded = engine(make(), "chooser", batch_tokens=1)
    requests = judge_requests()
    together = loaded.choose(requests, ("a", "b"))
    assert together == [loaded.choose([request], ("a", "b"))[0] for request in requests]
