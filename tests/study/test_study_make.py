"""Studies made of runs, what they do not tell, judges, and figures beside those made by hand."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core_fixtures import cli  # noqa: F401  (a fixture)
from core_world import Cli, clear, salmon
from study_world import PROMPTS, QUESTIONS, hand_made, say

from salmon_core.data import parquet
from salmon_core.run.folder import MadeFrom, StageFolder
from salmon_core.testing import CommandContract
from salmon_study import plugin
from salmon_study.order import steps_of
from salmon_study.ratings import all_ratings
from salmon_study.results import ALL, PEOPLE, Results, results_of
from salmon_study.task import Question, Task, key_path, read_key, read_task


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


# One prompt with two pairs, and what three raters said of them; A is `one`.
ANSWERS = [
    ("What?", "x", "y", "a"),
    ("What?", "x2", "y2", "b"),
    ("Why?", "x3", "y3", "a"),
    ("Who?", "x4", "y4", "b"),
]
SAID = {
    # c0001: first is A; c0002: first is B; c0003: first is A; c0004: first is B
    "ann": ["second", "first", "tie", "first"],  # B B tie B
    "ben": ["second", "second", "tie", "second"],  # B A tie A
}


@pytest.fixture
def rated(tmp_path: Path) -> tuple[Path, Task]:
    path = hand_made(tmp_path, ANSWERS, (Question("short", "The answer is short."),))
    task = read_task(path)
    for rater, choices in SAID.items():
        lines = [(f"c{i:04d}", "short", choice) for i, choice in enumerate(choices, 1)]
        say(path, task, rater, lines)
    say(path, task, "machine", [("c0001", "short", "second"), ("c0004", "short", "tie")], "judge")
    return path, task


def test_figures_are_those_made_by_hand(rated: tuple[Path, Task]) -> None:
    path, task = rated
    found = results_of(task, read_key(key_path(path), task), all_ratings(path, task))
    together = found.tally("short")
    assert together is not None
    # B: 3 of Ann's and 1 of Ben's; ties: one each; A: 2 of Ben's. (4 + 2 / 2) / 8.
    assert (together.wins, together.ties, together.losses) == (4, 2, 2)
    assert together.rate.value == pytest.approx(5 / 8)
    assert (together.rate.n, together.verdict) == (3, "too few")
    # By prompt: What? 1 1 1 0, Why? .5 .5, Who? 1 0. Liang and Zeger: sums of differences to 5/8 are .5, -.25, -.25;
    # variance 3/2 * .375 / 8**2; trials 5/8 * 3/8 over that; Wilson with them.
    variance = 1.5 * 0.375 / 64
    trials = (5 / 8 * 3 / 8) / variance
    z = 1.959964
    middle = (5 / 8 + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * ((15 / 64) / trials + z * z / (4 * trials**2)) ** 0.5
    assert together.rate.low == pytest.approx(middle - half)
    assert together.rate.high == pytest.approx(middle + half)
    ann, ben, machine = (found.tally("short", who) for who in ("ann", "ben", "machine"))
    assert ann is not None
    assert ben is not None
    assert machine is not None
    assert (ann.wins, ann.ties, ann.losses) == (3, 1, 0)
    assert (ben.wins, ben.ties, ben.losses) == (1, 1, 2)
    assert (machine.wins, machine.ties, machine.losses) == (1, 1, 0)
    # Ann and Ben: B B, B A, tie tie, B A. Nominal: observed 2 of 4; values 4 B, 2 tie, 2 A: expected
    # 1 - (4*3 + 2*1 + 2*1) / (8*7) = 40/56; alpha 1 - .5 / (40/56) = 0.3.
    (agreement,) = found.agreement
    assert agreement.nominal.value == pytest.approx(0.3)
    # Ordinal squared distances of A(2) tie(2) B(4): A-tie (2+2-2)^2 = 4, tie-B (2+4-3)^2 = 9, A-B (8-3)^2 = 25.
    # Observed: 2 of 4 units with 25: 12.5. Expected: 2 * (2*2*4 + 2*4*9 + 2*4*25) / 56 = 576/56.
    assert agreement.ordinal.value == pytest.approx(1 - 12.5 / (576 / 56))
    by_names = {(pair.one, pair.other): pair for pair in found.pairs}
    assert by_names["ann", "ben"].same.value == 0.5
    assert by_names["ann", "ben"].opposite.value == 0.5
    assert by_names["ann", "machine"].same.value == 0.5  # B B, B tie
    assert by_names["ann", "machine"].opposite.value == 0
    assert by_names["ann", "machine"].items == 2
    assert any("3 prompts are too few" in note for note in found.notes)
    assert any("machine 2 of 4" in note for note in found.notes)


def test_results_as_they_are_shown(cli: Cli, rated: tuple[Path, Task]) -> None:  # noqa: F811
    path, _ = rated
    shown = cli("study", "results", path, "--all", "--export", "rows.csv")
    assert shown.code == 0, shown.text
    for word in ("A: one", "B: other", "people", "ann, ben", "too few", "machine 2 of 4", "0.300"):
        assert word in shown.out, word
    hidden = cli("study", "results", path)
    assert hidden.out.count("ben") < shown.out.count("ben")
    found: dict[str, Any] = json.loads(cli("study", "results", path, "--json").out)
    assert found["tallies"][0]["rate"]["value"] == 5 / 8
    rows = list(csv.DictReader((path.parent / "rows.csv").open()))
    assert [row["prefers"] for row in rows if row["rater"] == "ann"] == ["b", "b", "tie", "b"]
    assert [row["prefers"] for row in rows if row["rater"] == "ben"] == ["b", "a", "tie", "a"]
    assert {row["prompt_id"] for row in rows} == {"What?", "Why?", "Who?"}
    assert cli("study", "results", path, "--export", "rows.xls").code == 1
    cli("study", "results", path, "--export", "rows.jsonl")
    lines = [json.loads(line) for line in (path.parent / "rows.jsonl").read_text().splitlines()]
    assert [line["prefers"] for line in lines] == [row["prefers"] for row in rows]


def many(tmp_path: Path, prompts: int, wins: int) -> Results:
    """One rater on two principles: B wins on so many prompts by the first, and never by the second."""
    questions = (Question("short", "The answer is short."), Question("kind", "The answer is kind."), *QUESTIONS[1:])
    path = hand_made(tmp_path, [(f"p{i}", "x", "y", "a") for i in range(prompts)], questions)
    task = read_task(path)
    lines = []
    for number in range(1, prompts + 1):
        lines.append((f"c{number:04d}", "short", "second" if number <= wins else "first"))
        lines.append((f"c{number:04d}", "kind", "first"))
        lines.append((f"c{number:04d}", "overall", "tie"))
    say(path, task, "ann", lines)
    return results_of(task, read_key(key_path(path), task), all_ratings(path, task))


def test_what_is_told_and_what_is_not(tmp_path: Path) -> None:
    found = many(tmp_path, 40, 32)
    verdicts = {each.question: each.verdict for each in found.tallies if each.who == PEOPLE}
    assert verdicts == {ALL: "no difference found", "short": "B", "kind": "A", "overall": "no difference found"}
    together = found.tally(ALL)
    assert together is not None
    assert (together.wins, together.ties, together.losses) == (32, 0, 48)
    short, kind = found.tally("short"), found.tally("kind")
    assert short is not None
    assert kind is not None
    # Clustered, 40 prompts are worth 39: z = .3 / sqrt(.25 / 39). Of two principles the larger p stays.
    assert short.p == pytest.approx(0.000179, abs=1e-6)
    assert short.q == short.p > kind.q
    assert any("one person rated" in note for note in found.notes)


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
