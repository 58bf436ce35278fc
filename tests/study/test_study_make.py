"""Studies made of runs, what they do not tell, what cannot be made, and judges."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from core_fixtures import cli  # noqa: F401  (a fixture)
from core_world import Cli, clear, salmon
from study_world import PROMPTS

from salmon_core.data import parquet
from salmon_core.run.folder import MadeFrom, StageFolder
from salmon_core.testing import CommandContract
from salmon_study import plugin
from salmon_study.order import steps_of
from salmon_study.ratings import all_ratings
from salmon_study.task import key_path, read_key, read_task


class TestCommand(CommandContract):
    plugin = plugin
    name = "study"


def answers(runs: Path, name: str) -> dict[str, str]:
    """By prompt, as the run's own samples have them."""
    (file,) = (runs / "runs" / name / "study").glob("*/samples-policy-1.parquet")
    return {each.prompt_id: each.text for each in parquet.read_rows(file, parquet.COMPLETIONS, parquet.to_completion)}


def test_a_study_of_two_runs(runs: Path, made: Path) -> None:
    task = read_task(made)
    key = read_key(key_path(made), task)
    assert [question.name for question in task.questions] == ["short", "kind", "overall"]
    assert task.questions[0].text == "The answer is short."
    assert (key.a, key.b, key.equal, key.passed) == ("one", "other", 0, PROMPTS)
    by_run = {"a": answers(runs, "one"), "b": answers(runs, "other")}
    assert sorted(origin.prompt for origin in key.items.values()) == sorted(by_run["a"])
    for item in task.items:
        origin = key.items[item.id]
        other = "b" if origin.first == "a" else "a"
        assert (item.first, item.second) == (by_run[origin.first][origin.prompt], by_run[other][origin.prompt])
        assert item.messages[-1].content == f"Question number {origin.prompt[1:]}?"
    firsts = [origin.first for origin in key.items.values()]
    assert 4 <= firsts.count("a") <= PROMPTS - 4
    assert [origin.prompt for origin in key.items.values()] != sorted(by_run["a"])


def test_the_task_does_not_tell(
    cli: Cli,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    runs: Path,
    made: Path,
) -> None:
    """Neither by a word, nor by what can be computed from it; the key is its owner's."""
    monkeypatch.chdir(runs)
    text = made.read_text()
    document = json.loads(text)
    assert set(document) == {"format", "questions", "items", "sealed"}
    assert all(set(item) == {"id", "messages", "first", "second"} for item in document["items"])
    assert [item["id"] for item in document["items"]] == [f"c{i:04d}" for i in range(1, PROMPTS + 1)]
    for word in ("runs", "one", "other", "seed", "policy", str(runs)):
        assert f'"{word}"' not in text
    assert os.stat(key_path(made)).st_mode & 0o077 == 0
    unguessed = [runs / f"unguessed-{number}.json" for number in (1, 2)]
    for path in unguessed:
        assert cli("study", "make", "runs/one", "runs/other", "--out", path).code == 0
    first, second = (read_key(key_path(path), read_task(path)) for path in unguessed)
    assert first.seed != second.seed
    assert [o.first for o in first.items.values()] != [o.first for o in second.items.values()]
    again = runs / "again.json"
    argv = ("--principles", "short", "--principles", "kind", "--overall", "--seed", "7", "--out", again)
    assert cli("study", "make", "runs/one", "runs/other", *argv).code == 0
    assert again.read_bytes() == made.read_bytes()


def test_fewer_prompts_and_more_samples(
    cli: Cli,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    runs: Path,
) -> None:
    monkeypatch.chdir(runs)
    argv = ("runs/one", "runs/other", "--prompts", "5", "--samples", "2", "--overall", "--out", "few.json")
    done = cli("study", "make", *argv)
    assert done.code == 0, done.text
    assert "10 pairs of answers to 5 prompts" in done.out
    assert "too few" in done.out
    assert [question.name for question in read_task(runs / "few.json").questions] == ["overall"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("runs/one",), "trains no policy: there is no after"),
        (("runs/one", "runs/one"), "is given twice"),
        (("runs/one", "runs/other", "runs/one"), "one run, or two"),
        (("runs/one", "runs/other", "--principles", "wise"), "there is no principle 'wise' (there are short, kind)"),
        (("runs/one", "runs/other", "--out", "salmon.yaml"), "there is something already"),
        (("runs", "runs/other"), "there is no run in this folder"),
    ],
)
def test_what_cannot_be_made(
    cli: Cli,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    runs: Path,
    argv: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(runs)
    done = cli("study", "make", *argv)
    assert done.code != 0
    assert said in done.err
    clear(done.err)


def test_files_that_do_not_fit(cli: Cli, made: Path, tmp_path: Path) -> None:  # noqa: F811
    def error(text: str, *argv: str) -> str:
        (tmp_path / "bad.json").write_text(text)
        done = cli("study", *argv)
        assert done.code == 1
        clear(done.err)
        return done.err

    task = json.loads(made.read_text())
    asked = ("results", "bad.json")
    assert "no JSON" in error("{", *asked)
    assert "of this version" in error("[1]", *asked)
    assert "items.0.first" in error(json.dumps({**task, "items": [{**task["items"][0], "first": 3}]}), *asked)
    assert "asks something twice" in error(json.dumps({**task, "items": task["items"][:1] * 2}), *asked)
    assert "no such file" in error(made.read_text(), *asked)  # no key
    key = json.loads(key_path(made).read_text())
    turned = {item: {**origin, "first": "a"} for item, origin in key["items"].items()}
    (tmp_path / "bad.key.json").write_text(json.dumps({**key, "items": turned}))
    assert "sealed with" in error(made.read_text(), *asked)
    shutil.copy(key_path(made), tmp_path / "bad.key.json")
    ratings = tmp_path / "bad.ratings"
    ratings.mkdir()
    (ratings / "ann.jsonl").write_text('{"study": "other"}\n')
    assert "another study" in error(made.read_text(), *asked)
    head = {"study": read_task(made).id, "rater": "ann", "kind": "person", "about": ""}
    for line, said in (
        ({"item": "c9999", "question": "short", "choice": "tie"}, "ann.jsonl:2: rates what the study does not ask"),
        ({"item": "c0001", "question": "short", "choice": "left"}, "ann.jsonl:2: is no rating: choice"),
        ({"undo": ["c0001", "short"]}, "ann.jsonl:2: takes back what was not the last"),
    ):
        (ratings / "ann.jsonl").write_text(json.dumps(head) + "\n" + json.dumps(line) + "\n")
        assert said in error(made.read_text(), *asked)
    assert "no name for a rater" in error(made.read_text(), "rate", "bad.json", "--rater", "../ann", "--no-browser")


def test_a_judge_is_one_more_rater(runs: Path, made: Path, tmp_path: Path) -> None:
    """The toy judge counts the letter e, less those of the prompt: what it says is known."""
    path = tmp_path / "study.json"
    shutil.copy(made, path)
    shutil.copy(key_path(made), key_path(path))
    first = salmon("study", "judge", path, "--config", "runs/one", cwd=runs)
    assert first.code == 0, first.text
    task = read_task(path)
    (rated,) = all_ratings(path, task)
    assert (rated.rater, rated.kind) == ("judge", "judge")
    assert len(rated.ratings) == task.steps
    ratings = {rating.key: rating for rating in rated.ratings}
    for item in task.items:
        more = item.first.count("e") - item.second.count("e")
        for question in task.questions:
            rating = ratings[item.id, question.name]
            assert rating.s12 is not None
            assert rating.s21 is not None
            expected = "tie" if rating.s12 * rating.s21 <= 0 else "first" if more > 0 else "second"
            assert rating.choice == expected
    lines = (tmp_path / "study.ratings" / "judge.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "study.ratings" / "judge.jsonl").write_text("".join(lines[:20]) + lines[20][:9])  # killed
    again = salmon("study", "judge", path, "--config", "salmon.yaml", "--set", "run.name=one", cwd=runs)
    assert again.code == 0, again.text
    assert f"{task.steps - 19} ratings more, {task.steps} in all" in again.out
    assert {r.key: r.choice for r in all_ratings(path, task)[0].ratings} == {k: r.choice for k, r in ratings.items()}
    taken = salmon("study", "rate", path, "--rater", "judge", "--no-browser", cwd=runs)
    assert "judge is a judge" in taken.err
    clear(taken.err)


def test_each_rater_has_an_order_of_their_own(made: Path) -> None:
    task = read_task(made)
    ann, ben = (steps_of(task, name) for name in ("ann", "ben"))
    assert [step.key for step in ann] == [step.key for step in steps_of(task, "ann")]
    assert sorted(step.key for step in ann) == sorted(step.key for step in ben)
    assert [step.item.id for step in ann] != [step.item.id for step in ben]
    left = {step.item.id: step.left for step in ann}
    assert {step.left for step in ann} == {"first", "second"}
    assert any(left[step.item.id] != step.left for step in ben)
    assert all(left[step.item.id] == step.left for step in ann)  # a pair is read once


def test_prompts_with_the_same_answers_are_not_asked(
    cli: Cli,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    runs: Path,
    made: Path,
    tmp_path: Path,
) -> None:
    """One run's answers, changed at one prompt, against its own."""
    shutil.copytree(runs, tmp_path / "copy")
    folder = tmp_path / "copy"
    monkeypatch.chdir(folder)
    shutil.copytree(folder / "runs" / "one", folder / "runs" / "third")
    (file,) = (folder / "runs" / "one" / "study").glob("*/samples-policy-1.parquet")
    for name, changed in (("one", {}), ("third", {"p3": "Something else."})):
        rows = parquet.read_rows(file, parquet.COMPLETIONS, parquet.to_completion)
        evaluate = folder / "runs" / name / "evaluate"
        StageFolder(folder / "runs" / name, "evaluate").begin(MadeFrom("", {}, {}), {})
        parquet.write_rows(
            evaluate / "samples-policy-4.parquet",
            [replace(row, text=changed.get(row.prompt_id, row.text)) for row in rows],
            parquet.COMPLETIONS,
        )
        StageFolder(folder / "runs" / name, "evaluate").finish(1.0, {})
    done = cli("study", "make", "runs/one", "runs/third", "--out", "same.json")
    assert done.code == 0, done.text
    key = read_key(key_path(folder / "same.json"), read_task(folder / "same.json"))
    assert (key.equal, key.passed, len(key.items)) == (PROMPTS - 1, PROMPTS, 1)
    assert "23 of 24 prompts were answered alike" in done.out
    assert next(iter(key.items.values())).prompt == "p3"
