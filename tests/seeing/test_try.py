"""`salmon try`: what it prints is what `salmon score` gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from core_world import Result, make_folder, salmon


def tried(folder: Path, *words: str) -> dict[str, Any]:
    done = attempt(folder, *words, "--json")
    assert done.code == 0, done.text
    values: dict[str, Any] = json.loads(done.out)
    return values


def attempt(folder: Path, *words: str) -> Result:
    return salmon("try", "runs/toy", *words, cwd=folder, timeout=600)


def score(folder: Path, tmp_path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = salmon("score", "runs/toy", file, cwd=folder, timeout=600)
    assert done.code == 0, done.text
    return [json.loads(line) for line in done.out.splitlines()]


def test_answers_before_and_after_with_the_runs_rewards(toy: Path, tmp_path: Path) -> None:
    values = tried(toy, "--samples", "3", "--temperature", "1")
    assert values["prompt"]["split"] == "test"
    assert [answer["by"] for answer in values["answers"]] == ["before"] * 3 + ["after"] * 3
    prompt = values["prompt"]["messages"][-1]["content"]
    rows = [
        {"prompt": prompt, "completion": answer["text"], "stopped": answer["stopped"]} for answer in values["answers"]
    ]
    for answer, expected in zip(values["answers"], score(toy, tmp_path, rows), strict=True):
        assert answer["reward"]["total"] == pytest.approx(expected["total"])
        assert answer["reward"]["components"] == pytest.approx(expected["components"])
        assert answer["reward"]["principles"][0] == "plain"  # the intervention


def test_one_answer_under_each_principle(toy: Path) -> None:
    """The reward model of this world counts `e` in the text, minus the rules in it."""
    values = tried(toy, "--prompt", "Why?", "--completion", "There we are.")
    under = {each["name"]: each for each in values["under"]}
    assert set(under) == {"short", "kind"}

    def expected(rule: str | None) -> float:
        return sum(text.count("e") for text in ("There we are.", "[[one]]", rule or "")) + (
            0 if rule is None else "[[rule]] [[end]]".count("e") - 1
        )

    base = values["without"] - expected(None)
    for name, texts in {
        "short": ("The answer is short.", "The answer is long."),
        "kind": ("The answer is kind.", "The answer is harsh."),
    }.items():
        assert under[name]["shown"] - base == pytest.approx(expected(texts[0]))
        assert under[name]["negated"] - base == pytest.approx(expected(texts[1]))
    assert values["answers"][-1]["by"] == "given"
    assert values["scored"] == "There we are."


def test_tables_for_people(toy: Path) -> None:
    done = attempt(toy, "--prompt-id", "p1", "--completion", "[bold]x[/bold]")
    assert done.code == 0, done.text
    assert "[bold]x[/bold]" in done.out
    for word in ("before", "after", "given", "none shown", "short", "kind", "letters"):
        assert word in done.out


def test_a_run_without_a_trained_policy(tmp_path: Path) -> None:
    make_folder(tmp_path, train={"algorithm": "none"}, evaluate=[])
    assert salmon("run", "salmon.yaml", cwd=tmp_path, timeout=600).code == 0
    values = tried(tmp_path, "--prompt", "Why?")
    assert [answer["by"] for answer in values["answers"]] == ["before"]
    assert "train.algorithm is none" in values["note"]


def test_before_the_reward_model_is_trained(toy: Path, tmp_path: Path) -> None:
    shutil.copytree(toy, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "runs/toy/train-rm/model")
    done = attempt(tmp_path)
    assert done.code == 1
    assert "model is missing" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--prompt", "a", "--prompt-id", "p1"), "give either --prompt or --prompt-id"),
        (("--prompt", " "), "--prompt: is empty"),
        (("--prompt-id", "x"), "no prompt has the id 'x'"),
    ],
)
def test_what_is_refused(words: tuple[str, ...], says: str, toy: Path) -> None:
    done = attempt(toy, *words)
    assert done.code == 1
    assert says in done.err


def test_no_run(tmp_path: Path) -> None:
    done = salmon("try", tmp_path, cwd=tmp_path)
    assert done.code == 1
    assert "there is no run in this folder" in done.err
