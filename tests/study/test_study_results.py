"""Figures of studies beside those made by hand, how they are shown, and files of ratings that do not fit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from core_fixtures import cli  # noqa: F401  (a fixture)
from core_world import Cli
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_world import QUESTIONS, hand_made, say

from salmon_core.errors import DataError
from salmon_study.ratings import PEOPLE, all_ratings, read_ratings
from salmon_study.results import ALL, Results, results_of
from salmon_study.task import Item, Question, Task, Turn, key_path, read_key, read_task

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


ASKED = Task((Question("short", "The answer is short."),), (Item("c1", (Turn("user", "?"),), "x", "y"),), "0" * 64)
LINES = st.one_of(
    st.binary(max_size=30),
    st.builds(
        lambda item, choice, more: json.dumps({"item": item, "question": "short", "choice": choice} | more).encode(),
        st.sampled_from(["c1", "c2", 1, None]),
        st.sampled_from(["first", "tie", "left", 0]),
        st.sampled_from([{}, {"left": "second"}, {"left": 1}, {"seconds": 2}, {"undo": ["c1", "short"]}, {"undo": 3}]),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=4), st.binary(max_size=8), st.booleans())
def test_any_file_of_ratings_is_read_or_refused(tmp_path: Path, lines: list[bytes], rest: bytes, head: bool) -> None:
    """With an error that names the file; what was not written to its end counts for nothing."""
    path = tmp_path / "ann.jsonl"
    first = json.dumps({"study": ASKED.id, "rater": "ann", "kind": "person", "about": ""}).encode()
    path.write_bytes(b"".join(line + b"\n" for line in [*([first] if head else []), *lines]) + rest)
    where = None
    try:
        found = read_ratings(path, ASKED)
    except DataError as error:
        where = error.where or ""
    if where is None:
        assert head
        assert [each.key for each in found.ratings] in ([], [("c1", "short")])
    else:
        assert where.startswith(str(path))
