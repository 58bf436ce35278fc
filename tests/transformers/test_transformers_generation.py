"""Sampling: noise by (seed, prompt, sample, position), known distributions, where completions end."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from salmon_core.api import Sampling
from salmon_core.errors import SalmonError
from salmon_core.records import Prompt
from salmon_transformers.engine import TransformersEngine
from salmon_transformers.sampling import choose, uniforms

TEXTS = ["The river", "salmon", "Which answer is better? one or two", "9", "a question? " * 9]


def prompts(engine: TransformersEngine, texts: list[str] = TEXTS) -> list[tuple[Prompt, str]]:
    return [(p, engine.codec.chat(list(p.messages))) for p in map(Prompt.from_text, texts)]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "gemma2", "bloom"])
def test_batch_size_and_order_do_not_matter(make, engine, kind):
    loaded = engine(make(kind), "sampler")
    asked = prompts(loaded)
    settings_ = {"max_new_tokens": 16, "samples": 3, "seed": 5}
    one = loaded.sample(asked, Sampling(batch_size=1, **settings_))
    assert [(c.prompt_id, c.index) for c in one] == [(p.id, i) for p, _ in asked for i in range(3)]
    for size in (4, 64):
        shuffled = random.Random(size).sample(asked, len(asked))
        other = {(c.prompt_id, c.index): c for c in loaded.sample(shuffled, Sampling(batch_size=size, **settings_))}
        assert [other[c.prompt_id, c.index] for c in one] == one
    assert len({c.token_ids for c in one}) > len(asked), "samples of a prompt differ"
    assert loaded.sample(asked, Sampling(**{**settings_, "seed": 6})) != one


def test_a_longer_limit_continues_the_shorter_one(make, engine):
    loaded = engine(make(), "sampler")
    short = loaded.sample(prompts(loaded), Sampling(max_new_tokens=5, seed=2))
    long = loaded.sample(prompts(loaded), Sampling(max_new_tokens=12, seed=2))
    assert all(b.token_ids[: len(a.token_ids)] == a.token_ids for a, b in zip(short, long, strict=True))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_every_token_is_the_one_a_plain_forward_pass_would_choose(make, engine, kind):
    folder = make(kind)
    loaded = engine(folder, "sampler")
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    sampling = Sampling(temperature=0.8, top_p=0.9, max_new_tokens=12, seed=3)
    asked = prompts(loaded)
    rendered = {prompt.id: text for prompt, text in asked}
    for completion in loaded.sample(asked, sampling):
        start = loaded.codec.encode(rendered[completion.prompt_id])
        with torch.no_grad():
            logits = model(torch.tensor([start + list(completion.token_ids)])).logits[0, len(start) - 1 : -1]
        noise = torch.from_numpy(uniforms(3, completion.prompt_id, completion.index, 12)[: len(logits)])
        assert choose(logits, noise, 0.8, 0.9).tolist() == list(completion.token_ids)


def test_greedy_is_the_most_likely_token_and_all_samples_alike(make, engine):
    folder = make()
    loaded = engine(folder, "sampler")
    first, second = loaded.sample(prompts(loaded, ["The river"]), Sampling(temperature=0, max_new_tokens=8))
    assert first.token_ids == second.token_ids
    ids = torch.tensor([loaded.codec.encode(prompts(loaded, ["The river"])[0][1])])
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    expected = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8, pad_token_id=2
    )[0, ids.shape[1] :]
    assert first.token_ids == tuple(expected.tolist())


def test_samples_follow_the_softmax():
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, float("-inf")])
    n = 40_000
    noise = torch.from_numpy(np.random.default_rng(0).random(n))
    for temperature, top_p, expected in (
        (1.0, 1.0, torch.softmax(logits, 0)),
        (0.5, 1.0, torch.softmax(logits / 0.5, 0)),
        (1.0, 0.7, torch.tensor([0.7311, 0.2689, 0, 0, 0])),  # 0.644 alone is below 0.7, so two tokens: 1/(1+1/e)
        (1.0, 0.6, torch.tensor([1.0, 0, 0, 0, 0])),
    ):
        drawn = choose(logits.expand(n, -1), noise, temperature, top_p)
        frequencies = torch.bincount(drawn, minlength=5) / n
        assert torch.allclose(frequencies, expected, atol=0.01), (temperature, top_p)
        assert torch.all(frequencies[expected == 0] == 0)


def test_a_models_samples_follow_its_own_distribution(make, engine):
    folder = make()
    loaded = engine(folder, "sampler")
    asked = prompts(loaded, ["salmon"])
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(torch.tensor([loaded.codec.encode(asked[0][1])])).logits[0, -1]
    expected = torch.softmax(logits / 0.5, 0)
    n = 4000
    drawn = loaded.sample(asked, Sampling(temperature=0.5, max_new_tokens=1, samples=n, batch_size=n))
    counts = Counter(c.token_ids[0] for c in drawn)
    distance = sum(abs(counts[i] / n - p) for i, p in enumerate(expected.tolist())) / 2
    assert distance < 0.08  # of total variation; n samples of this distribution give about 0.05


@given(st.integers(0, 2**40), st.text(max_size=20), st.integers(0, 9), st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_noise_is_a_function_of_its_arguments(seed, prompt_id, sample, length):
    noise = uniforms(seed, prompt_id, sample, length)
    assert (noise >= 0).all()
    assert (noise < 1).all()
    assert (uniforms(seed, prompt_id, sample, length + 7)[:length] == noise).all()
    assert uniforms(seed, prompt_id, sample + 1, 1) != noise[0]
    assert uniforms(seed + 1, prompt_id, sample, 1) != noise[0]


@given(
    st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=30),
    st.floats(0, 1, exclude_max=True),
    st.floats(0.01, 1),
)
@settings(max_examples=200, deadline=None)
def test_only_tokens_of_the_nucleus_are_chosen(logits, u, top_p):
    row = torch.tensor([logits])
    token = choose(row, torch.tensor([u], dtype=torch.float64), 1.0, top_p).item()
    probabilities = torch.softmax(row[0], 0).double()
    likelier = probabilities[probabilities > probabilities[token]].sum()
    assert likelier < top_p or top_p == 1  # all but the last unlikely ones may add up to 1
    assert probabilities[token] > 0


def with_eos(folder: str, target: Path, eos: list[int]) -> Path:
    shutil.copytree(folder, target)
    path = target / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": eos}))
    return target


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "bloom"])
def test_rows_that_end_make_room_for_others_and_change_none(make, engine, tmp_path, kind):
    folder = make(kind)
    size = AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight.shape[0]
    # So many ends that completions have all lengths; the longest outgrow the room of the cache.
    loaded = engine(str(with_eos(folder, tmp_path / "ends", list(range(1, size, 40)))), "sampler")
    asked = prompts(loaded, [*TEXTS, "x" * 60, "b"])
    settings_ = {"max_new_tokens": 90, "samples": 4, "temperature": 2.0}
    alone = loaded.sample(asked, Sampling(batch_size=1, **settings_))
    assert len({len(c.token_ids) for c in alone}) > 12
    assert max(len(c.token_ids) for c in alone) > 70
    assert min(len(c.token_ids) for c in alone) < 10
    for together in (3, 8, 64):
        assert loaded.sample(asked, Sampling(batch_size=together, **settings_)) == alone


def test_every_eos_of_the_generation_config_ends_a_completion(make, engine, tmp_path):
    plain = engine(make(), "sampler")
    asked = prompts(plain)
    sampling = Sampling(max_new_tokens=24, samples=4, seed=1)
    before = plain.sample(asked, sampling)
    extra = [token for token, _ in Counter(t for c in before for t in c.token_ids).most_common(2)]
    loaded = engine(with_eos(make(), tmp_path / "model", extra), "sampler")
    after = loaded.sample(asked, sampling)
    ends = {*extra, plain.codec.eos_id}
    assert any(c.stopped for c in after)
    for old, new in zip(before, after, strict=True):
        at = next((i for i, token in enumerate(old.token_ids) if token in ends), None)
        expected = old.token_ids if at is None else old.token_ids[: at + 1]
        assert new.token_ids == expected, "rows that leave the batch do not disturb the others"
        assert new.stopped == (at is not None)
        assert new.n_tokens == len(expected) - new.stopped
        assert new.text == plain.codec.decode(expected[: new.n_tokens], skip_special=True)


def test_stop_strings_cut_the_text_and_end_the_row(make, engine):
    loaded = engine(make(), "sampler")
    asked = prompts(loaded)
    sampling = Sampling(max_new_tokens=30, samples=3, seed=4)
    before = loaded.sample(asked, sampling)
    chosen = [c.text[4:6] for c in before if len(c.text) > 8 and c.text.isprintable()][:3]
    assert chosen
    after = loaded.sample(asked, Sampling(max_new_tokens=30, samples=3, seed=4, stop=tuple(chosen)))
    assert any(c.stopped and c.token_ids[-1] != loaded.codec.eos_id for c in after)
    for old, new in zip(before, after, strict=True):
        at = min((i for stop in chosen if (i := old.text.find(stop)) >= 0), default=None)
        assert new.text == (old.text if at is None else old.text[:at])
        assert new.token_ids == old.token_ids[: len(new.token_ids)]
        if at is not None:
            assert new.stopped
            decode = loaded.codec.decode
            assert any(stop in decode(new.token_ids) for stop in chosen)
            assert not any(stop in decode(new.token_ids[:-1]) for stop in chosen), "not a token more than needed"


def test_a_special_token_can_be_a_stop_string(make, engine):
    loaded = engine(make(), "sampler")
    asked = prompts(loaded)
    stops = ("<|end|>", "<|user|>")
    found = loaded.sample(asked, Sampling(max_new_tokens=60, samples=8, temperature=2.0, stop=stops))
    hits = [c for c in found if any(stop in loaded.codec.decode(c.token_ids) for stop in stops)]
    assert hits, "no sample happened to hold the token; raise samples"
    for completion in hits:
        assert completion.stopped
        assert not any(special in completion.text for special in loaded.codec.special_tokens)


def test_a_prompt_too_long_is_named(make, engine):
    loaded = engine(make(max_position_embeddings=64), "sampler")
    prompt = Prompt.from_text("word " * 60, id="the-long-one")
    with pytest.raises(SalmonError, match=r"the-long-one.*exceed the model's 64"):
        loaded.sample([(prompt, loaded.codec.chat(list(prompt.messages)))], Sampling(max_new_tokens=30))


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"max_new_tokens": 0}, {"samples": 0}])
def test_settings_that_make_no_sense(make, engine, wrong):
    loaded = engine(make(), "sampler")
    with pytest.raises(SalmonError, match=next(iter(wrong))):
        loaded.sample(prompts(loaded), Sampling(**wrong))
