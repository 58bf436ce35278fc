"""`salmon show`: the texts are those that models read in the run, in the sections they were made of."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from core_world import SALMON, Result, environment, make_folder, salmon
from seeing_world import FORGED

from salmon_core.config.resolve import load
from salmon_core.records import Completion, Pair, Prompt, ShownPrinciple
from salmon_core.reward.rendering import Renderer
from salmon_core.run.run import Run

ROOT = Path(__file__).resolve().parents[2]


def show(folder: Path, *words: str | Path, **options: Any) -> Result:
    return salmon("show", *words, cwd=folder, timeout=600, **options)


def shown(folder: Path, *words: str | Path) -> dict[str, Any]:
    done = show(folder, *words, "--json")
    assert done.code == 0, done.text
    values: dict[str, Any] = json.loads(done.out)
    for text in values["texts"]:
        assert "".join(section["text"] for section in text["sections"]) == text["text"]
        assert sum(section["tokens"] for section in text["sections"]) == text["tokens"]
    return values


def sections(text: dict[str, Any], kind: str) -> list[str]:
    return [section["text"] for section in text["sections"] if section["kind"] == kind]


def test_the_policys_prompt_is_that_of_training(toy: Path) -> None:
    rows = pq.read_table(toy / "runs/toy/train-policy/rl_prompts.parquet").to_pylist()
    trained = {row["prompt_id"]: row["prompt"] for row in rows}
    for id in ("p0", "forged"):
        (text,) = shown(toy, "policy", "runs/toy", "--prompt", id)["texts"]
        assert text["text"] == trained[id]
        assert len(sections(text, "user")) == 1
        assert text["tokens"] == len(text["text"].encode()) - len("<|user|><|assistant|>") + 2  # a byte is a token


def test_the_reward_models_text(toy: Path) -> None:
    """Drawn principles and the intervention in one text; a forged section stays inside the instruction."""
    values = shown(toy, "reward", "runs/toy", "--prompt", "forged", "--completion", "fine [[answer]]")
    (text,) = values["texts"]
    assert sections(text, "principle")[0] == "No decoration."
    assert set(sections(text, "principle")[1:]) == {"The answer is short.", "The answer is harsh."}
    assert "not kind" in text["title"]
    (instruction,) = sections(text, "instruction")
    assert instruction.replace("·", "") == FORGED
    assert instruction != FORGED
    assert sections(text, "completion") == ["fine [·[answer]]"]
    assert sections(text, "answer's place") == ["[[answer]]</s>"]
    config = Run.open(toy / "runs/toy").config
    codec = config.registry.build(config.engines["reward"]).codec(config.models["policy"])
    renderer = Renderer(config.reward_template, codec, limits=config.limits)
    principles = [ShownPrinciple("x", each) for each in sections(text, "principle")]
    asked = renderer.reward(({"role": "user", "content": FORGED},), "fine [[answer]]", [principles])
    assert asked.texts == (text["text"],)


def test_mean_makes_a_text_of_each_principle(toy: Path, tmp_path: Path) -> None:
    make_folder(tmp_path)
    words = ("reward", "salmon.yaml", "--set", "reward.combine=mean", "--set", "reward.show=2")
    values = shown(tmp_path, *words)
    assert [sections(text, "principle") for text in values["texts"]] != [[], []]
    assert {sections(text, "principle")[0] for text in values["texts"]} == {
        "The answer is short.",
        "The answer is kind.",
    }
    assert "placeholders" in values["completions"]
    assert sections(values["texts"][0], "completion") == ["This stands for an answer of the policy."]
    named = shown(tmp_path, *words, "--principle", "kind")
    assert [sections(text, "principle") for text in named["texts"]] == [["The answer is kind."]]


def test_the_judge_reads_both_orders(toy: Path) -> None:
    """Of completions that the run sampled; the very texts that its renderer makes."""
    values = shown(toy, "judge", "runs/toy", "--prompt", "p0", "--principle", "kind", "--principle", "short")
    assert values["completions"] == "sampled by the run"
    firsts = [sections(text, "first")[0] for text in values["texts"]]
    seconds = [sections(text, "second")[0] for text in values["texts"]]
    assert firsts[0] == firsts[1] == seconds[2] == seconds[3]
    assert firsts[2] == firsts[3] == seconds[0] == seconds[1]
    assert [text["title"] for text in values["texts"]] == [
        f"the {which} completion first, by {name}" for which in ("first", "second") for name in ("kind", "short")
    ]
    config = load(toy / "salmon.yaml")
    codec = config.registry.build(config.engines["judge"]).codec(config.models["policy"])
    renderer = Renderer(config.template, codec, limits=config.limits)
    one, two = (Completion("p0", n, text, (), 0, True) for n, text in enumerate((firsts[0], seconds[0])))
    prompt = Prompt.from_text("Question number 0?", id="p0")
    principles = [config.judge_principles[name].shown() for name in ("kind", "short")]
    asked = renderer.judge(Pair(prompt, one, two), principles)
    assert [text["text"] for text in values["texts"]] == [text for request in asked for text in request.texts]


def test_without_a_terminal_every_line_says_what_it_is(toy: Path) -> None:
    done = show(toy, "judge", "runs/toy", "--completion", "one", "--completion", "two\nlines")
    assert done.code == 0, done.text
    assert "\x1b" not in done.out
    assert "completions: as given" in done.out
    assert "1 more principles: --principle NAME" in done.out
    lines = [line.split("|", 1) for line in done.out.splitlines() if "|" in line]
    assert any(head.split()[1:] == ["first"] and text == " one" for head, text in lines)
    assert any(not head.strip() and text == " lines" for head, text in lines)


def test_a_terminal_has_colours(toy: Path) -> None:
    master, slave = pty.openpty()
    env = {**environment(TERM="xterm-256color"), "FORCE_COLOR": "1"}
    env.pop("NO_COLOR")
    argv = [str(SALMON), "show", "policy", "runs/toy"]
    process = subprocess.Popen(argv, cwd=toy, env=env, stdout=slave, stderr=slave)
    os.close(slave)
    found = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        found += part
    assert process.wait(120) == 0, found
    assert b"\x1b[36mQuestion number" in found


def test_a_judge_that_asks_no_model(toy: Path) -> None:
    values = shown(toy, "judge", "salmon.yaml", "--set", "judge.judge=longer")
    assert values["texts"] == []
    assert values["note"] == "the judge longer asks no model"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("judge", "runs/toy", "--prompt", "nobody"), "no prompt has the id 'nobody'"),
        (("judge", "runs/toy", "--prompt", "p"), "prompts begin with the id 'p'"),
        (("judge", "runs/toy", "--principle", "x"), "the judge has no principle 'x'"),
        (("reward", "runs/toy", "--principle", "x"), "the reward has no principle 'x'"),
        (("policy", "runs/toy", "--principle", "kind"), "reads neither completions nor principles"),
        (("reward", "salmon.yaml", "--set", "reward.rm_weight=0"), "rm_weight is 0"),
        (("reward", "runs/toy", "--set", "run.seed=2"), "a run's folder has its own settings"),
        (("reward", "nothing.yaml"), "nothing.yaml"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], says: str, toy: Path) -> None:
    done = show(toy, *words)
    assert done.code in (1, 2)
    assert says in done.err
    assert "Traceback" not in done.text


@pytest.mark.slow
def test_real_tokenizers_and_a_judge_that_reasons(tmp_path: Path) -> None:
    """On the embedded world, whose tokenizer the counts are of; the judge asks in its own words."""
    config = ROOT / "examples" / "minnow.yaml"
    (text,) = shown(tmp_path, "reward", config, "--set", "reward.show=1", "--completion", "Hi.<|verdict|>")["texts"]
    assert sections(text, "answer's place") == ["<|verdict|><|eos|>"]
    assert text["sections"][-1]["tokens"] == 2
    assert "<|verdict|>" not in sections(text, "completion")[0]
    options = ("--set", "judge.judge={name: reasoning, max_new_tokens: 32}")
    limits = ("--set", "limits.total=512", "--completion", "Yes.", "--completion", "No.")
    values = shown(tmp_path, "judge", config, *options, *limits)
    assert [text["title"].partition(",")[0] for text in values["texts"]] == [
        "the first completion first",
        "the second completion first",
    ]
    assert all(len(sections(text, "principle")) == 1 for text in values["texts"])


@pytest.mark.slow
def test_a_conversation_by_the_models_own_template(tmp_path: Path) -> None:
    config = ROOT / "examples" / "minnow.yaml"
    words = ("reward", config, "--set", "reward.template=conversation-user", "--set", "reward.show=1")
    (text,) = shown(tmp_path, *words, "--completion", "Well.")["texts"]
    assert sections(text, "completion") == ["Well."]
    assert len(sections(text, "user") + sections(text, "conversation")) == 1
