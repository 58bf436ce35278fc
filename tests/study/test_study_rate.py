"""Rating over plain HTTP: two raters at once, a server that is killed, and who is refused."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from core_world import clear, salmon
from study_world import HOSTILE, QUESTIONS, by_length, by_words, hand_made, served

from salmon_core.kit.agreement import krippendorff_alpha
from salmon_core.rng import named_rng
from salmon_study.order import steps_of
from salmon_study.ratings import all_ratings
from salmon_study.results import results_of
from salmon_study.task import Task, key_path, read_key, read_task

WORDS = ("ash", "bee", "cat", "deer", "eagle", "ferret", "gecko", "hedgehog")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    answers = [(f"p{i}", WORDS[i], WORDS[(3 * i + 1) % 8], "a" if i % 3 else "b") for i in range(8)]
    return hand_made(tmp_path, [(p, a, b, w) for p, a, b, w in answers if a != b])  # type: ignore[misc]


def expected(task: Task, rater: str, rule: object) -> dict[tuple[str, str], str]:
    """What a rater's rule chooses, without any page."""
    found = {}
    for step in steps_of(task, rater):
        sent = rule(step.question.name, *step.answers)  # type: ignore[operator]
        other = "second" if step.left == "first" else "first"
        found[step.key] = {"0": "tie", "1": step.left, "2": other}[sent]
    return found


def test_two_raters_one_killed_and_resumed(study: Path) -> None:
    task = read_task(study)
    folder = study.with_name("study.ratings")
    with served(study, "ann", "ben") as server:
        ann, ben = server.client("ann"), server.client("ben")
        assert ann.rate_by(by_length, most=5) == 5
        assert ben.rate_by(by_words, most=3) == 3
        assert (ann.progress, ben.progress) == (f"5 of {task.steps}", f"3 of {task.steps}")
        assert "ben" not in ann.page
        # Nobody gets another one's page by a form, and what is sent twice, or late, counts once.
        stale = ann.fields
        assert ann.http.post("/rate", data={**ann.fields, "rater": "ben", "choice": "1"}).status_code == 409
        ann.rate("0")
        assert ann.fields != stale
        again = ann.http.post("/rate", data={**stale, "choice": "1"})
        assert "nothing was stored" in again.text
        assert ann.progress == f"6 of {task.steps}"
        ann.undo()
        assert ann.fields == stale
        assert "Taken back" in ann.page
        for choice in ("", "3", "first"):
            assert ann.http.post("/rate", data={**stale, "choice": choice}).status_code == 400
        assert ann.http.post("/rate", json={**stale, "choice": "1"}).status_code == 400
        assert ann.http.post("/rate", content=b"x" * 10**6, headers={"content-type": "text/plain"}).status_code == 400
        in_use = salmon("study", "rate", study, "--rater", "ann", "--no-browser", cwd=study.parent)
        assert "ann is being asked already" in in_use.err
        clear(in_use.err)
        kept = (folder / "ann.jsonl").read_text().splitlines()
        server.process.kill()
        server.process.wait()
    assert len(kept) == 1 + 5 + 2  # a head, five, one more and its undoing
    assert json.loads(kept[-1])["undo"] == [stale["item"], stale["question"]]
    with (folder / "ben.jsonl").open("a") as file:
        file.write('{"item": "c00')  # what a kill in the middle of a line leaves
    with served(study, "ann", "ben") as server:
        ann, ben = server.client("ann"), server.client("ben")
        assert ann.fields == stale
        assert ben.progress == f"3 of {task.steps}"
        assert ann.rate_by(by_length) == task.steps - 5
        assert ben.rate_by(by_words) == task.steps - 3
        assert "Thank you" in ann.page
    rated = {each.rater: each for each in all_ratings(study, task)}
    said = {name: {r.key: r.choice for r in each.ratings} for name, each in rated.items()}
    assert said == {"ann": expected(task, "ann", by_length), "ben": expected(task, "ben", by_words)}
    assert all(r.seconds is not None and r.left in ("first", "second") for r in rated["ann"].ratings)
    key = read_key(key_path(study), task)
    found = results_of(task, key, list(rated.values()))
    # By hand: a longer or shorter word of B, whatever the page looked like.
    texts = {item.id: (item.first, item.second) for item in task.items}
    short = {"B": 0, "A": 0, "tie": 0}
    units = {}
    for item, origin in key.items.items():
        a, b = texts[item] if origin.first == "a" else texts[item][::-1]
        ann_rank = 1 if len(a) == len(b) else 2 if len(b) < len(a) else 0
        ben_rank = 1 if a[0] == b[0] else 2 if b < a else 0
        short[("A", "tie", "B")[ann_rank]] += 1
        units[origin.prompt] = [[ann_rank, ben_rank]]
    tally = found.tally("short", "ann")
    assert tally is not None
    assert (tally.wins, tally.ties, tally.losses) == (short["B"], short["tie"], short["A"])
    agreement = next(each for each in found.agreement if each.question == "short")
    rng = named_rng(key.seed, "alpha", "ann", "ben", "short")
    assert agreement.ordinal == krippendorff_alpha(units, 3, rng, "ordinal")


def test_hostile_texts_are_text(tmp_path: Path) -> None:
    study = hand_made(tmp_path, [(HOSTILE, HOSTILE + "1", "x" * 2**20, "a")], QUESTIONS[:1])
    with served(study, "ann") as server:
        ann = server.client("ann")
        page = ann.page
        assert "<script>document" not in page
        assert "<img" not in page
        assert "<h1>forged" not in page
        assert "&lt;script&gt;" in page
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "\x00" not in page
        assert "[U+202E]" in page
        assert "x" * 2**20 in page
        response = ann.http.get("/")
        policy = response.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert response.headers["cache-control"] == "no-store"
        assert "style=" not in page
        assert "onclick" not in page
        ann.rate("1")
        assert ann.done


def test_a_ready_file_that_cannot_be_written(study: Path) -> None:
    words = ("--rater", "ann", "--no-browser", "--ready-file")
    for file, said in ((study.parent, "Is a directory (name a file)"), (study / "ready.json", "something else has")):
        done = salmon("study", "rate", study, *words, file, cwd=study.parent)
        assert done.code == 1
        assert said in done.err
        clear(done.err)
    assert not list(study.parent.glob("*.tmp"))


def test_who_is_refused(study: Path) -> None:
    with served(study, "ann", "ben") as server:
        ann, url = server.client("ann"), server.url
        token = server.addresses["ann"].partition("=")[2]
        assert httpx.get(url).status_code == 401
        assert httpx.get(f"{url}/?token={token[:-1]}x").status_code == 401
        first = httpx.get(server.addresses["ann"])
        assert (first.status_code, first.headers["location"]) == (303, "/")
        assert token not in first.headers["location"]
        for word in ("HttpOnly", "SameSite=Strict"):
            assert word in first.headers["set-cookie"]
        evil = {"origin": "http://evil.example"}
        answer = {**ann.fields, "choice": "1"}
        assert ann.http.post("/rate", data=answer, headers=evil).status_code == 403
        assert ann.http.get("/", headers=evil).status_code == 403
        assert ann.http.post("/rate", data=answer, headers={"origin": "null"}).status_code == 403
        assert ann.http.post("/rate", data=answer, headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert ann.http.get("/", headers={"host": "evil.example"}).status_code == 421
        assert httpx.post(f"{url}/rate", data=answer, cookies=dict(ann.http.cookies)).status_code == 403
        redirect = httpx.get(f"{url}//evil.example/?token={token}")
        assert redirect.headers["location"] == "/evil.example/"
        assert ann.http.get("/static/../server.py").status_code == 404
        assert ann.http.get("/").text.count("0 of") == 2  # nothing of all this was stored
        assert httpx.get(f"{url}/", headers={"authorization": f"Bearer {token}"}).status_code == 200
    owner = study.with_name("study.ratings") / "ann.jsonl"
    assert owner.stat().st_mode & 0o077 == 0
