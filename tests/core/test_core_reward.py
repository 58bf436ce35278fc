"""The one reward: what adds up to what, which principles are shown, what happens when a component fails."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from core_world import Cli, document, make_folder
from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of

from salmon_core import PluginError, Rollout, SalmonError
from salmon_core.api import Job, ModelSpec, RewardSpec
from salmon_core.config.resolve import load
from salmon_core.records import RewardBreakdown, ShownPrinciple
from salmon_core.reward.reward import Reward
from salmon_core.reward.spec import reward_spec
from salmon_core.run.run import Run
from salmon_core.testing import make_rollout

COMPLETIONS = ("seven trees", "no", "a bee sees the sea", "")


def reward_of(folder: Path, **values: Any) -> Reward:
    """The reward of a configuration, through the same door as a trainer's process: JSON."""
    config = load(make_folder(folder, reward={**document()["reward"], **values}))
    model = ModelSpec(str(folder / "policy")) if config.config.reward.rm_weight else None
    return Reward.from_spec(through_json(reward_spec(config, model)))


def through_json(spec: RewardSpec) -> RewardSpec:
    """As a trainer's process gets it: in a job."""
    job = Job("train-policy", "toy", "/nowhere", spec.policy, {}, 0, reward=spec)
    found = Job.from_json(job.to_json()).reward
    assert found == spec
    assert found is not None
    return found


def rollouts(*principles: ShownPrinciple) -> list[Rollout]:
    return [make_rollout("Why?", text, principles=principles) for text in COMPLETIONS]


# -- bonuses only ----------------------------------------------------------------------------------------------------


def test_weights_labels_and_sums(tmp_path: Path) -> None:
    letter = {"name": "letters", "letter": "s", "label": "hiss", "weight": -0.5}
    reward = reward_of(tmp_path, rm_weight=0, bonuses=[{"name": "letters", "weight": 2}, letter])
    assert reward.names == ("letters", "hiss")
    found = reward(rollouts())
    for text, breakdown in zip(COMPLETIONS, found, strict=True):
        assert breakdown.raw == {"letters": text.count("e"), "hiss": text.count("s")}
        assert breakdown.components == {"letters": 2 * text.count("e"), "hiss": -0.5 * text.count("s")}
        assert breakdown.total == sum(breakdown.components.values())
        assert list(breakdown.components) == ["letters", "hiss"]
        assert breakdown.fallbacks == ()
    assert reward([]) == []


def test_the_reward_model_comes_first_and_has_a_weight(tmp_path: Path) -> None:
    shown = ShownPrinciple("short", "The answer is short.")
    one, three = (reward_of(tmp_path, rm_weight=weight)(rollouts(shown)) for weight in (1, 3))
    for a, b in zip(one, three, strict=True):
        assert list(a.components) == ["rm", "letters"]
        assert b.raw == a.raw
        assert b.components["rm"] == 3 * a.components["rm"]
        assert b.total == pytest.approx(b.components["rm"] + b.components["letters"])
        assert a.principles == ("short",)


def test_negated_principles_are_named_so(tmp_path: Path) -> None:
    shown = ShownPrinciple("short", "The answer is long.", negated=True)
    (first, *_) = reward_of(tmp_path, rm_weight=0)(rollouts(shown))
    assert first.principles == ("not short",)


def test_truncation_is_counted(tmp_path: Path) -> None:
    reward = reward_of(tmp_path)
    found = reward([make_rollout("Why?", "e" * 1000), make_rollout("Why?", "e")])
    assert found[0].truncated >= 1000 - 128
    assert found[1].truncated == 0
    assert reward.truncated == 1


# -- interventions ---------------------------------------------------------------------------------------------------


def test_interventions_by_rollout_index(tmp_path: Path) -> None:
    items = [
        {"principle": "kind", "from_rollout": 2, "until_rollout": 5},
        {"principle": "no-shouting", "text": "The answer does not shout."},
        {"principle": "short", "negate": True, "from_rollout": 4},
    ]
    reward = reward_of(tmp_path, rm_weight=0, interventions=items)
    drawn = [ShownPrinciple("short", "The answer is short.")]
    made = [make_rollout("Why?", "So.", principles=drawn, rollout_index=index) for index in range(6)]
    names = [list(breakdown.principles) for breakdown in reward(made)]
    assert names == [[f"{'not ' * p.negated}{p.name}" for p in reward.shown(rollout).principles] for rollout in made]
    assert names[0] == names[1] == ["no-shouting", "short"]
    assert names[2] == names[3] == ["kind", "no-shouting", "short"]
    assert names[4] == ["kind", "no-shouting", "not short"]  # the intervention's wording wins over the drawn one
    assert names[5] == ["no-shouting", "not short"]


def test_a_row_becomes_a_rollout(tmp_path: Path) -> None:
    reward = reward_of(tmp_path, rm_weight=0, interventions=[{"principle": "no", "text": "No.", "from_rollout": 1}])
    row = {
        "row": 3,
        "prompt_id": "p",
        "prompt": "<|user|>Why?<|assistant|>",
        "messages": [{"role": "user", "content": "Why?"}],
        "category": "reasoning",
        "principles": [{"name": "kind", "text": "Be kind.", "negated": False}],
        "answer": 42,
    }
    settings: dict[str, Any] = {"completion_ids": [1, 2, 257], "stopped": True}
    before, after = (Rollout.from_row(row, "So.", rollout_index=i, **settings) for i in (0, 1))
    assert [p.name for p in reward.shown(before).principles] == ["kind"]
    assert [p.name for p in reward.shown(after).principles] == ["no", "kind"]
    assert reward.shown(reward.shown(after)) == reward.shown(after)
    assert before.prompt == "Why?"
    assert before.category == "reasoning"
    assert before.extra == {"answer": 42}
    assert (after.completion_ids, after.n_tokens, after.stopped, after.rollout_index) == ((1, 2, 257), 2, True, 1)


# -- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["raise", "nan", "short", "text", "none"])
def test_a_failure_stops_by_default_and_names_its_owner(how: str, tmp_path: Path) -> None:
    reward = reward_of(tmp_path, rm_weight=0, bonuses=["letters", {"name": "faulty", "how": how}])
    with pytest.raises(PluginError) as error:
        reward(rollouts())
    assert str(tmp_path / "world.py") in str(error.value)
    assert "reward component 'faulty'" in str(error.value)


@pytest.mark.parametrize(
    "how",
    [
        "rollouts[0].messages[0]['content'] = 'other'",
        "rollouts[0].messages[0].update(content='other')",
        "rollouts[0].messages[0].pop('role')",
        "del rollouts[0].extra['answer']",
        "rollouts[0].extra['parts']['a'] = 3",
        "rollouts[0].extra['list'].append(3)",
        "rollouts.reverse()",
        "rollouts[0].completion = 'other'",
    ],
)
def test_a_bonus_cannot_change_what_the_next_one_reads(how: str, tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    world = config.parent / "world.py"
    place = "    def score(self, rollouts: Sequence[Any]) -> list[Any]:\n"
    source = world.read_text()
    assert place in source
    make_folder(tmp_path, reward={**document()["reward"], "rm_weight": 0, "bonuses": ["faulty", "letters"]})
    world.write_text(source.replace(place, f"{place}        {how}\n"))
    changed = load(tmp_path / "salmon.yaml")
    extra = {"answer": 1, "parts": {"a": 1}, "list": [1, 2]}
    asked = [replace(each, extra=extra) for each in rollouts()]
    with pytest.raises(PluginError, match=r"reward component 'faulty'.*(cannot be changed|no attribute|cannot assign)"):
        Reward.from_spec(through_json(reward_spec(changed, None)))(asked)
    assert [each.messages[0]["content"] for each in asked] == ["Why?"] * len(COMPLETIONS)


def test_records_go_through_pickle_json_and_copy() -> None:
    before = replace(rollouts()[0], extra={"parts": {"a": [1, {"b": 2}]}})
    for after in (pickle.loads(pickle.dumps(before)), deepcopy(before)):
        assert after == before
        with pytest.raises(TypeError, match="cannot be changed"):
            after.extra["parts"]["a"][1]["b"] = 3
    assert json.loads(json.dumps(before.messages)) == [{"role": "user", "content": "Why?"}]
    assert dict(before.messages[0]) | {"content": "x"} == {"role": "user", "content": "x"}


def test_a_fallback_is_scored_and_counted(tmp_path: Path) -> None:
    faulty = {"name": "faulty", "how": "nan", "unless": "fine", "weight": 2, "label": "moody"}
    reward = reward_of(tmp_path, rm_weight=0, bonuses=["letters", faulty], on_failure=-1.5)
    found = reward(rollouts())
    assert reward.fallbacks == {"moody": len(COMPLETIONS)}
    for text, breakdown in zip(COMPLETIONS, found, strict=True):
        assert breakdown.fallbacks == ("moody",)
        assert breakdown.raw["moody"] == -1.5
        assert breakdown.total == text.count("e") - 3
        assert math.isfinite(breakdown.total)
    assert reward([make_rollout("Why?", "fine")])[0].fallbacks == ()
    reward(rollouts()[:1])
    assert reward.fallbacks == {"moody": len(COMPLETIONS) + 1}


def test_a_failing_reward_model_is_no_exception(tmp_path: Path) -> None:
    """Principles that fit in no text: the reward model's owner is named, or its score replaced."""
    endless = ShownPrinciple("endless", "The answer is short. " * 100)
    with pytest.raises(PluginError, match="the template and the principles alone need") as error:
        reward_of(tmp_path)(rollouts(endless))
    assert "reward component 'rm'" in str(error.value)
    found = reward_of(tmp_path, on_failure=0.25)(rollouts(endless))
    assert {breakdown.raw["rm"] for breakdown in found} == {0.25}
    assert {breakdown.fallbacks for breakdown in found} == {("rm",)}


def test_a_spec_whose_plugin_is_gone(tmp_path: Path) -> None:
    spec = replace(reward_spec(load(make_folder(tmp_path)), None), file_plugins=())
    with pytest.raises(SalmonError, match="no bonus named"):
        Reward.from_spec(spec)


# -- a real reward model ---------------------------------------------------------------------------------------------

SHOWN = (
    ShownPrinciple("short", "The answer is short."),
    ShownPrinciple("kind", "The answer is harsh.", negated=True),
    ShownPrinciple("other", "The answer is about trees."),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`policy` and `rm`: two tiny Llamas with random weights, one byte-level tokenizer."""
    from transformers import LlamaForCausalLM, LlamaForSequenceClassification

    folder = tmp_path_factory.mktemp("models")
    backend = byte_bpe([], vocab_size=258, specials=["</s>", "<pad>"])
    chat = "{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer = tokenizer_of(backend, chat=chat, eos_token="</s>", pad_token="<pad>")
    config = llama_config(tokenizer, max_position_embeddings=1024, initializer_range=0.3, num_labels=1)
    for name, kind in (("policy", LlamaForCausalLM), ("rm", LlamaForSequenceClassification)):
        save_model(folder / name, config, kind, tokenizer)
    return folder


def real_config(models: Path, folder: Path, **values: Any) -> Path:
    reward = {**document()["reward"], "engine": "transformers", **values}
    return make_folder(
        folder,
        policy={"model": str(models / "policy"), "template": "toy", "dtype": "float32", "device": "cpu"},
        sample={"engine": "transformers"},
        reward_model={"path": str(models / "rm")},
        reward=reward,
    )


def run_of(config: Path) -> Run:
    """A run's folder as `salmon run` begins it, before any stage."""
    run = Run(config.parent / "runs" / "toy", load(config))
    run.path.mkdir(parents=True, exist_ok=True)
    run.save()
    return Run.open(run.path)


def scored(run: Run, made: Sequence[Rollout]) -> list[RewardBreakdown]:
    """By the run's reward, opened and closed."""
    with Reward.from_spec(run.reward_spec()) as reward:
        return reward(made)


def by_hand(models: Path, prompt: str, completion: str, shown: Sequence[ShownPrinciple]) -> float:
    """The text written out, one forward pass of the whole model, nothing of salmon."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rules = "".join(f"[[rule]] {p.text} [[end]]\n" for p in shown)
    text = f"[[ask]]\n{prompt}\n[[one]]\n{completion}\n{rules}[[answer]]</s>"
    tokenizer = AutoTokenizer.from_pretrained(models / "rm")
    model = AutoModelForSequenceClassification.from_pretrained(models / "rm", dtype=torch.float32).eval()
    with torch.no_grad():
        return float(model(**tokenizer(text, return_tensors="pt")).logits[0, 0])


@pytest.mark.parametrize("combine", ["joint", "mean"])
def test_joint_and_mean_against_plain_transformers(combine: str, models: Path, tmp_path: Path) -> None:
    found = scored(run_of(real_config(models, tmp_path, combine=combine, rm_weight=2)), rollouts(*SHOWN)[:2])
    weights = (2.0, 1.0, 1.0)  # of the set; a principle that is not in it has 1
    for text, breakdown in zip(COMPLETIONS, found, strict=False):
        if combine == "joint":
            expected = by_hand(models, "Why?", text, SHOWN)
        else:
            singles = [by_hand(models, "Why?", text, [principle]) for principle in SHOWN]
            expected = sum(w * s for w, s in zip(weights, singles, strict=True)) / sum(weights)
        assert breakdown.raw["rm"] == pytest.approx(expected, abs=1e-5)
        assert breakdown.total == pytest.approx(2 * expected + text.count("e"), abs=1e-5)
    assert found[0].raw["rm"] != pytest.approx(found[1].raw["rm"], abs=1e-3)


def test_without_principles_both_ways_agree(models: Path, tmp_path: Path) -> None:
    plain = [make_rollout("Why?", "seven trees")]
    joint, mean = (scored(run_of(real_config(models, tmp_path / c, combine=c)), plain)[0] for c in ("joint", "mean"))
    assert joint.raw == mean.raw
    assert joint.raw["rm"] == pytest.approx(by_hand(models, "Why?", "seven trees", ()), abs=1e-5)


def test_salmon_score_is_the_reward(models: Path, tmp_path: Path, cli: Cli) -> None:
    """Row by row what calling the reward gives, one rollout at a time, whatever the batch."""
    calm = {"principle": "calm", "text": "The answer is calm.", "from_rollout": 4}
    run = run_of(real_config(models, tmp_path, interventions=[calm]))
    shown = [SHOWN[: 1 + i % 3] for i in range(len(COMPLETIONS))]
    rows = [
        {"prompt": "Why?", "completion": text, "stopped": bool(i % 2), "principles": [asdict(p) for p in shown[i]]}
        for i, text in enumerate(COMPLETIONS)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli("score", "runs/toy", "rows.jsonl", "-o", "scores.jsonl", "--rollout-index", "5")
    assert done.code == 0, done.text
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    for i, (text, score) in enumerate(zip(COMPLETIONS, scores, strict=True)):
        rollout = make_rollout("Why?", text, principles=shown[i], stopped=bool(i % 2), rollout_index=5)
        (expected,) = scored(run, [rollout])
        assert score["principles"] == list(expected.principles)
        assert score["principles"][0] == "calm"
        assert score["total"] == pytest.approx(expected.total, abs=1e-5)
        assert score["components"] == pytest.approx(expected.components, abs=1e-5)


def test_salmon_score_draws_alike_every_time(world: Path, cli: Cli) -> None:
    (world / "rows.jsonl").write_text('{"prompt": "Why?", "completion": "seven trees"}\n' * 2)
    first, second = (cli("score", "runs/toy", "rows.jsonl").out for _ in range(2))
    assert first == second
    one, two = map(json.loads, first.splitlines())
    assert one == two
    assert len(one["principles"]) == 1
    named = json.loads(cli("score", "runs/toy", "rows.jsonl", "--principle", "kind").out.splitlines()[0])
    assert named["principles"] == ["kind"]
