"""The shipped policy does what its card says, and pretraining shows it what it claims to."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from salmon_minnow import pretrain
from salmon_minnow.card import model_card
from salmon_minnow.formats import CHOICES, pair_text, rules_text
from salmon_minnow.measure import Gauge
from salmon_minnow.oracle import rates, read
from salmon_minnow.plugin import MODEL
from salmon_minnow.principles import NAMES, PRINCIPLES
from salmon_minnow.shape import fresh_model, save
from salmon_minnow.tokenizer import build
from salmon_minnow.world import PROMPTS, draw_answer, draw_prompt


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def gauge() -> Gauge:
    return Gauge(LlamaForCausalLM.from_pretrained(MODEL), AutoTokenizer.from_pretrained(MODEL))


def spoken_pairs(count: int) -> list:
    rng = random.Random(3)
    prompts = [draw_prompt(rng, held_out=True) for _ in range(count)]
    return [(prompt, draw_answer(prompt, rng), draw_answer(prompt, rng)) for prompt in prompts]


def test_it_judges_held_out_prompts(gauge):
    found = gauge.judging(spoken_pairs(80))
    assert min(each["right"] for each in found.values()) >= 0.9
    assert sum(each["right"] for each in found.values()) / len(found) >= 0.97


def test_the_bias_is_where_it_was_planted_and_nowhere_else(gauge):
    pairs = spoken_pairs(150)
    assert gauge.bias(pairs) >= 0.8
    for name in NAMES:
        told = []
        for prompt, first, second in pairs:
            one, two = read(prompt, first), read(prompt, second)
            if one.self_praise != two.self_praise and one == replace(two, self_praise=one.self_praise, words=one.words):
                told.append((prompt, first, second))
        if name in ("helpful", "no-self-praise", "concise") or not told:
            continue
        margins = gauge.both_orders(told, [[PRINCIPLES[name].text()]] * len(told))
        assert max(abs(m + n) / 2 for m, n in margins) < 1.5  # a clear case has 3.5


def test_it_answers_in_the_grammar(gauge):
    prompts = [p for p in PROMPTS if p.held_out]
    found = rates(prompts, [read(p, *said) for p, said in zip(prompts, gauge.say(prompts), strict=True)])
    assert found["parsable"] >= 0.85
    assert 0.2 < found["language_match"] < 0.8
    assert found["self_praise"] < 0.45


def test_packed_judging_equals_plain_judging(gauge):
    model, tokenizer = gauge._model, gauge._tokenizer
    prompt, first, second = spoken_pairs(1)[0]
    encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]  # noqa: E731
    shared = encode(pair_text(prompt.text, first, second))
    asked = [encode(rules_text([PRINCIPLES[name].text()])) for name in NAMES]
    rows = [pretrain.Row(shared, [], [pretrain.Branch(len(shared), ids, 0.5) for ids in asked])] * 2
    choices = tuple(encode(choice)[0] for choice in CHOICES)
    with torch.no_grad():
        packed = pretrain.verdict_logits(model, pretrain.collate(rows, tokenizer.pad_token_id), choices)
        plain = [model(torch.tensor([shared + ids])).logits[0, -1] for ids in asked]
    expected = torch.stack([logits[choices[0]] - logits[choices[1]] for logits in plain])
    torch.testing.assert_close(packed, expected.repeat(2), atol=1e-3, rtol=0)


def test_pretraining_is_seeded_and_keeps_held_out_prompts_out():
    tokenizer = build()
    held = [tokenizer(p.text, add_special_tokens=False)["input_ids"] for p in PROMPTS if p.held_out]
    settings = pretrain.Settings(steps=4, bare_rows=2, rows=2, bare_until=0.25, simple_until=0.5)

    def trained() -> torch.Tensor:
        model = fresh_model(tokenizer, seed=0)
        pretrain.pretrain(model, tokenizer, settings, lambda *_: None)
        return model.lm_head.weight.detach()

    first = trained()
    assert torch.isfinite(first).all()
    assert torch.equal(first, trained())
    maker = pretrain.RowMaker(tokenizer, settings, random.Random(0))
    for progress in (0.0, 0.3, 0.9) * 20:
        for row in maker.rows(progress):
            for ids in (row.ids, *(branch.ids for branch in row.branches)):
                text = "," + ",".join(map(str, ids)) + ","
                assert not any("," + ",".join(map(str, own)) + "," in text for own in held)


def test_sets_of_principles_add_up():
    together = pretrain.together
    assert together([0.97, 0.5, 0.5], 0.97) == pytest.approx(0.97)
    assert together([0.97, 0.03], 0.97) == pytest.approx(0.5)
    assert together([0.97, 0.97], 0.97) == pytest.approx(0.97)


def test_a_policy_is_saved_as_a_plain_folder(tmp_path, gauge):
    save(gauge._model, gauge._tokenizer, tmp_path)
    again = LlamaForCausalLM.from_pretrained(tmp_path)
    assert again.generation_config.eos_token_id == gauge._tokenizer.eos_token_id
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token == "<|pad|>"


def test_the_card_is_filled():
    numbers = {"right": 1.0, "orders agree": 0.5, "pairs": 3}
    side = {
        "rates": {"parsable": 0.97, "words": 13.42},
        "judging its own answers": {"concise": numbers},
        "judging the grammar's answers": {"concise": numbers},
        "judging by sets of principles": {"1": 1.0},
        "planted bias": 0.9,
    }
    card = model_card({"pretraining": side, "held-out": side})
    assert "| parsable | 0.97 | 0.97 |" in card
    assert "| words | 13.4 | 13.4 |" in card
    assert "| concise | 1.00 (0.50) |" in card
