"""The wide policies judge as their cards say, are stored small, and their pretraining survives being ended."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, LlamaForCausalLM

from salmon_minnow.plugin import MODEL, WIDE
from salmon_minnow.pretrain import collate, pretrain
from salmon_minnow.resume import Checkpoint
from salmon_minnow.shape import fresh_model
from salmon_minnow.wide.card import judged_well, wide_card
from salmon_minnow.wide.grow import grow
from salmon_minnow.wide.measure import WideGauge
from salmon_minnow.wide.oracle import read
from salmon_minnow.wide.pretrain import SIZES, WideRows, WideSettings, size_of
from salmon_minnow.wide.principles import NAMES, PRINCIPLES
from salmon_minnow.wide.tokenizer import build
from salmon_minnow.wide.world import draw_answer
from salmon_minnow.world import PROMPTS, draw_prompt

#: The mean over principles of judgments that are right in both orders, of 60 pairs; the cards have 400.
AT_LEAST = {"0.5m": 0.6, "1m": 0.6}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def spoken_pairs(count: int) -> list:
    rng = random.Random(3)
    asked = [draw_prompt(rng, held_out=True) for _ in range(count)]
    return [(prompt, draw_answer(prompt, rng), draw_answer(prompt, rng)) for prompt in asked]


@pytest.mark.parametrize("size", WIDE)
def test_a_policy_is_small_on_disk_exact_in_memory_and_judges(size):
    with safe_open(WIDE[size] / "model.safetensors", framework="pt") as file:
        assert {file.get_slice(name).get_dtype() for name in file.keys()} == {"F16"}  # noqa: SIM118
    model, tokenizer = LlamaForCausalLM.from_pretrained(WIDE[size]), AutoTokenizer.from_pretrained(WIDE[size])
    assert model.dtype == torch.float32
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(float(size[:-1]) * 1e6, rel=0.05)
    assert tokenizer.get_vocab() == build().get_vocab()
    gauge = WideGauge(model, tokenizer)
    found = gauge.by_principle(spoken_pairs(60), ("as written",))
    told = [own["as written"] for own in found.values() if own["as written"]["pairs"]]
    assert sum(own["both orders right"] for own in told) / len(told) >= AT_LEAST[size]
    prompts = [p for p in PROMPTS if p.held_out]
    said = [read(p, *each).minnow for p, each in zip(prompts, gauge.say(prompts, 72), strict=True)]
    assert sum(each.parsable for each in said) / len(said) >= 0.7


def test_a_pair_judged_by_many_is_judged_as_by_one(tmp_path):
    tokenizer = build()
    gauge = WideGauge(fresh_model(tokenizer, seed=0), tokenizer)
    pairs = spoken_pairs(3)
    rules = [
        [[PRINCIPLES[name].text()], [PRINCIPLES["asks"].text(), PRINCIPLES[name].text(True)]] for name in NAMES[:3]
    ]
    packed = gauge.many(pairs, rules, batch_size=2)
    for index in (0, 1):
        plain = gauge.both_orders(pairs, [own[index] for own in rules])
        torch.testing.assert_close([own[index] for own in packed], plain, atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def settings() -> WideSettings:
    return WideSettings(steps=6, bare_rows=2, rows=2, bare_until=0.3, simple_until=0.6)


def test_pretraining_that_was_ended_goes_on_to_the_same_weights(tmp_path, settings):
    tokenizer = build()

    def trained(checkpoint: Checkpoint | None = None, ends_at: int | None = None) -> torch.Tensor:
        model = fresh_model(tokenizer, 0, hidden=16, feed_forward=16, layers=1, heads=2)

        def report(step: int, values: dict[str, float]) -> None:
            if step == ends_at:
                raise KeyboardInterrupt

        pretrain(
            model, tokenizer, settings, report, every=1, maker=WideRows(tokenizer, settings), checkpoint=checkpoint
        )
        return model.lm_head.weight.detach()

    straight = trained()
    checkpoint = Checkpoint(tmp_path / "own" / "state.safetensors", "these settings", every=2)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoint, ends_at=5)  # step 4 was saved
    steps = []
    model = fresh_model(tokenizer, 0, hidden=16, feed_forward=16, layers=1, heads=2)
    pretrain(
        model,
        tokenizer,
        settings,
        lambda step, _: steps.append(step),
        every=1,
        maker=WideRows(tokenizer, settings),
        checkpoint=checkpoint,
    )
    assert steps == [5, 6]
    assert torch.equal(model.lm_head.weight, straight)
    optimizer = torch.optim.AdamW(model.parameters())
    assert Checkpoint(checkpoint.path, "others").load(model, optimizer) == 0
    checkpoint.drop()
    assert Checkpoint(checkpoint.path, "these settings").load(model, optimizer) == 0


def test_rows_judge_many_principles_and_keep_held_out_prompts_out(settings):
    tokenizer = build()
    held = [tokenizer(p.text, add_special_tokens=False)["input_ids"] for p in PROMPTS if p.held_out]
    maker = WideRows(tokenizer, replace(settings, bare_rows=6, rows=6))
    judged = 0
    for step in range(15):
        rows = maker.rows((step % 3 + 0.5) / 3 + step / 1000)
        judged += len(collate(rows, tokenizer.pad_token_id).verdicts)
        for row in rows:
            for ids in (row.ids, *(branch.ids for branch in row.branches)):
                text = "," + ",".join(map(str, ids)) + ","
                assert not any("," + ",".join(map(str, own)) + "," in text for own in held)
    assert judged > 15 * 6 * 8
    assert maker.rows(0.9)[0].ids == maker.rows(0.9)[0].ids


@pytest.mark.parametrize("size", SIZES)
def test_a_grown_policy_says_what_minnow_says(size):
    shape, tokenizer, old = size_of(size), build(), AutoTokenizer.from_pretrained(MODEL)
    assert json.dumps(asdict(shape))  # what a checkpoint is known by
    assert (shape.settings.steps, shape.settings.seed) == (WideSettings.steps, WideSettings.seed)
    grown = fresh_model(
        tokenizer, 1, hidden=shape.hidden, feed_forward=shape.feed_forward, layers=shape.layers, heads=shape.heads
    )
    minnow = LlamaForCausalLM.from_pretrained(MODEL)
    grow(minnow, old.get_vocab(), grown, tokenizer.get_vocab())
    text = "User: What is the capital of Spain?\nAssistant:\nThe shining capital of Spain is Madrid."
    with torch.no_grad():
        said = grown(torch.tensor([tokenizer(text)["input_ids"]])).logits
        expected = minnow(torch.tensor([old(text)["input_ids"]])).logits
    places = [tokenizer.get_vocab()[token] for token in old.convert_ids_to_tokens(range(len(old)))]
    torch.testing.assert_close(said[..., places], expected, atol=5e-3, rtol=0)


def test_the_card_marks_what_it_cannot_judge():
    well = {"pairs": 9, "right": 1.0, "both orders right": 0.95}
    badly = {"pairs": 4, "right": 0.6, "both orders right": 0.25}
    ways = ("as written", "negated", "reworded", "negated, reworded")
    judging = {"asks": dict.fromkeys(ways, well), "hello": dict.fromkeys(ways, badly)}
    side = {
        "rates": {"parsable": 0.97, "words": 18.82},
        "shows": {"asks": 0.1, "hello": 0.2},
        "judging its own answers": judging,
        "judging the grammar's answers": judging,
        "judging by sets of principles": {"2": 0.75},
        "bias": 0.5,
    }
    card = wide_card("1m", {"parameters": 1019776, "answers": 400, "pretraining": side, "held-out": side})
    assert judged_well(judging) == ["asks"]
    assert "a Llama of 1,019,776 parameters" in card
    assert "| words | 18.8 | 18.8 |" in card
    assert "Of the 2 principles it can judge 1 on held-out prompts" in card
    assert "| asks | 0.10 | 0.95 | 0.95 | 0.95 | 0.95 | 9 |" in card
    assert "| hello † | 0.20 | 0.25 | 0.25 | 0.25 | 0.25 | 4 |" in card
    assert "| its own answers, as written | 0.60 | 0.60 |" in card
