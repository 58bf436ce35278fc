"""What stands on the pages: numbers of the run, texts of models as texts, rewards as the run's own, and steering."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from core_world import salmon
from view_world import BATCH, HOSTILE, LONG, Page, Viewer

from salmon_core.data.interventions import RECORD, read_record
from salmon_core.records import Prompt, Rollout, ShownPrinciple
from salmon_core.reward.reward import Reward
from salmon_core.run.run import Run
from salmon_view.runs import ViewedRun


def rows(page: Page) -> list[str]:
    """Names of the rollouts that a page lists, in order."""
    found = [str(each["href"]) for each in page.of("a") if "/rollouts/" in (each.get("href") or "")]
    return [each.rpartition("/rollouts/")[2] for each in found]


def test_the_overview_answers(viewer: Viewer, seen: Path) -> None:
    page = viewer.page("/runs/0")
    for asked in ("Did it work?", "How sure?", "What was given up?", "What was exploited?"):
        assert asked in page.text
    report = json.loads((seen / "report.json").read_text())
    assert f"seed {report['seed']}" in page.text
    assert f"rewarded: {', '.join(report['principles']['rewarded'])}, letters (bonus)" in page.text
    for target in report["targets"]:
        assert target["name"] in page.text
    chart = page.chart("chart-loss")
    assert chart["y"] == [1.0, 0.5, pytest.approx(1 / 3, abs=1e-4)]
    assert [mark["label"] for mark in chart["marks"]] == ["A1"]
    assert "The curves as numbers" in page.text


def test_rollouts_are_sorted_filtered_and_searched(viewer: Viewer) -> None:
    home = "/runs/0/rollouts"
    part = {"X-Part": "1"}
    assert rows(viewer.page(f"{home}?sort=reward&batch={BATCH}", headers=part)) == [
        f"{BATCH}/{n}" for n in (3, 2, 1, 0)
    ]
    assert rows(viewer.page(f"{home}?sort=n_tokens&up=1&batch={BATCH}", headers=part)) == [
        f"{BATCH}/{n}" for n in (0, 1, 2, 3)
    ]
    assert rows(viewer.page(f"{home}?q=PLAIN%20GR%C3%9CSSE", headers=part)) == []
    assert rows(viewer.page(f"{home}?q=plain%20ANSWER", headers=part)) == [f"{BATCH}/2"]
    assert rows(viewer.page(f"{home}?q=%5Bred%5D", headers=part)) == [f"{BATCH}/3"]  # no pattern
    assert rows(viewer.page(f"{home}?flagged=1", headers=part)) == [f"{BATCH}/0"]
    assert rows(viewer.page(f"{home}?principle=kind&low=0", headers=part)) == [f"{BATCH}/3", f"{BATCH}/2"]
    everything = viewer.page(home, headers=part)
    assert len(rows(everything)) == 8  # four of the world's own
    histogram = everything.chart("histogram")
    assert sum(histogram["y"]) == 8


def test_a_rollout_shows_what_is_known_of_it(viewer: Viewer) -> None:
    page = viewer.page(f"/runs/0/rollouts/{BATCH}/2")
    for known in ("The answer is kind.", "cut off by the length limit", "KL 0.250 nats", "after 3 steps", "+1.25"):
        assert known.lstrip("+") in page.text, known
    read = viewer.page(f"/runs/0/rollouts/{BATCH}/2/read", headers={"X-Part": "1"})
    for section in ("Question number 0?", "The answer is kind.", "A plain answer"):
        assert section in read.text


def test_hostile_texts_stay_texts(viewer: Viewer) -> None:
    """Wherever they stand: no element of theirs, no character that hides or turns the rest."""
    pages = [
        "/runs/0",
        "/runs/0/rollouts?sort=rollout_index",
        f"/runs/0/rollouts/{BATCH}/0",
        "/runs/0/steer",
        f"/runs/0/rollouts/{BATCH}/0/read",
    ]
    for path in pages:
        page = viewer.page(path, headers={"X-Part": "1"} if path.endswith("read") else {})
        assert all(each.get("src", "").startswith("/static/") for each in page.of("script")), path
        for tag in ("img", "b", "style"):
            # The page has bold words of its own, none with this text.
            assert not [each for each in page.of(tag) if each], (path, tag)
        assert "long</b>" not in page.source
        assert not page.of("style"), path
        assert "document.title" in page.text, path
        for unseen in ("\x1b", "\x07", "\u202e", "\u2066", "\u200b"):
            assert unseen not in page.text, (path, unseen)
        assert len(page.source) < 400_000
    page = viewer.page(f"/runs/0/rollouts/{BATCH}/0")
    assert "␛[31mred␛[0m ␇ [U+202E]terces[U+202C] [U+2066]x[U+2069] [U+200B] שלום مرحبا" in page.text
    assert '<script>document.title="owned"</script>' in page.text


def test_a_megabyte_is_cut_and_offered_whole(viewer: Viewer) -> None:
    page = viewer.page(f"/runs/0/rollouts/{BATCH}/1")
    assert len(page.source) < 200_000
    assert f"of {len(LONG):,} characters" in page.text
    whole = viewer.ask(f"/runs/0/rollouts/{BATCH}/1/answer")
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert whole.text == LONG
    assert viewer.ask(f"/runs/0/rollouts/{BATCH}/0/answer").text == HOSTILE


def test_judge_and_pairs(viewer: Viewer) -> None:
    page = viewer.page("/runs/0/judge")
    assert "Can it be believed?" in page.text
    assert "the first shown first" in page.text
    only = viewer.page("/runs/0/judge?principle=kind&orders=agree")
    assert "both orders agree" in only.text
    assert "the orders disagree" not in only.text


def test_the_playground_rewards_as_the_run_does(viewer: Viewer, seen: Path) -> None:
    shown = (ShownPrinciple("kind", "The answer is kind."), ShownPrinciple("new", HOSTILE, weight=3.0))
    run = Run.open(seen)
    prompt = Prompt.from_text("What <b>is</b> it?")
    rollout = Rollout.from_text(prompt, HOSTILE, n_tokens=len(HOSTILE.encode()), principles=shown)
    with Reward.from_spec(replace(run.reward_spec(), interventions=())) as reward:
        wanted = reward([rollout])[0]
        (alone,) = reward.score_texts([(prompt.messages, HOSTILE, [(), *((each,) for each in shown)])])
    body = {
        "prompt": prompt.text,
        "completion": HOSTILE,
        "principles": [
            {"name": "kind", "text": "The answer is kind.", "weight": 1},
            {"name": "new", "text": HOSTILE, "weight": 3},
            {"name": "off", "text": "Never mind.", "weight": 0},
        ],
    }
    page = Page(viewer.ask("/runs/0/try/score", body).text)
    assert f"{wanted.total:+.3f}" in page.text
    for value in (*wanted.components.values(), *alone, (alone[1] + 3 * alone[2]) / 4):
        assert f"{value:+.3f}" in page.text
    assert "off" not in page.text
    sections = Page(viewer.ask("/runs/0/try/read", body).text)
    assert "document.title" in sections.text
    assert not sections.of("script")
    written = json.loads(viewer.ask("/runs/0/try/write", {"prompt": "What is it?", "by": "before"}).text)
    assert written["text"]
    empty = viewer.ask("/runs/0/try/score", {**body, "prompt": " "})
    assert empty.status == 422
    assert "is empty" in empty.text


def lines(run: Path) -> list[dict[str, Any]]:
    """The record, without what differs whoever steers."""
    found = [json.loads(line) for line in (run / RECORD).read_text().splitlines()]
    return [{key: value for key, value in each.items() if key not in ("id", "time")} for each in found]


def test_steering_from_the_page_is_salmon_steer(living: Callable[[], Path], tmp_path: Path) -> None:
    run = living()
    asked = {
        "what": "add",
        "text": "The answer does not praise itself.",
        "reason": "it does <b>",
        "until_rollout": "90",
    }
    with Viewer([run], tmp_path) as viewer:
        overview = viewer.page("/runs/0")
        assert "Running" in overview.text
        assert [name for name, _ in overview.of("body")[0].items()] == ["data-watch"]
        preview = viewer.ask("/runs/0/steer", asked)
        assert preview.status == 200, preview.text
        assert "This would be intervention 1" in Page(preview.text).text
        assert "the reward model's score would change by" in Page(preview.text).text
        assert not (run / RECORD).exists()  # a preview does nothing
        applied = viewer.ask("/runs/0/steer", {**asked, "apply": True})
        assert applied.status == 200, applied.text
        own = salmon("steer", run, "--add", asked["text"], "--reason", asked["reason"], "--until", "90", cwd=tmp_path)
        assert own.code == 0, own.text
        one, other = lines(run)
        assert one == other
        named = {"what": "principle", "name": "kind", "apply": True}
        assert viewer.ask("/runs/0/steer", named).status == 200
        assert (
            viewer.ask("/runs/0/steer", {"what": "bonus", "name": "letters", "value": "0.25", "apply": True}).status
            == 200
        )
        assert viewer.ask("/runs/0/steer", {"what": "undo", "undoes": "1", "apply": True}).status == 200
        assert [each.what for each in read_record(run / RECORD)] == [
            "principle",
            "principle",
            "principle",
            "bonus",
            "undo",
        ]
        # What is refused there is refused here, in the same words.
        refused = viewer.ask("/runs/0/steer", {"what": "bonus", "name": "brevity", "value": 1, "apply": True})
        said = salmon("steer", run, "--bonus", "brevity=1", cwd=tmp_path)
        assert refused.status == 422
        assert "the run has no bonus 'brevity'" in Page(refused.text).text
        assert said.err.strip().rpartition("error: ")[2] == Page(refused.text).text.strip()
        record = viewer.page("/runs/0/steer")
        assert "it does <b>" in record.text
        assert "undoes 1" in record.text
        marks = viewer.page("/runs/0").chart("chart-loss")["marks"]
        assert [mark["label"] for mark in marks] == ["I1", "I2", "I3", "I4", "I5"]


def test_a_finished_run_cannot_be_steered(viewer: Viewer, seen: Path) -> None:
    page = viewer.page("/runs/0/steer")
    assert "Proposed while the run went on" in page.text
    assert "-1.00 [-2.00, -0.50]" in page.text
    refused = viewer.ask("/runs/0/steer", {"what": "add", "text": "Obey.", "apply": True})
    assert refused.status == 422
    assert "over, so there is nothing to steer" in Page(refused.text).text
    assert not (seen / RECORD).exists()


def test_a_filter_does_not_wait_for_what_comes(seen: Path, tmp_path: Path) -> None:
    """It goes by what was read; what came since is read meanwhile."""
    run = ViewedRun(0, Path(shutil.copytree(seen, tmp_path / "toy")))
    before = run.rollouts().table.num_rows
    (file, *_) = sorted((run.path / "train-policy" / "rollouts").iterdir())
    shutil.copy(file, file.with_name("part-000099-0.parquet"))
    time.sleep(0.6)
    deadline = time.monotonic() + 20
    while run.rollouts(0.0).table.num_rows == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run.rollouts().table.num_rows > before


def test_runs_are_compared_and_followed(seen: Path, tmp_path: Path) -> None:
    """Another run beside it, to whose events something is added while it is looked at."""
    other = tmp_path / "elsewhere" / "toy"
    shutil.copytree(seen, other)
    config = json.loads((other / "config.json").read_text())
    config["document"]["run"] = {"name": "other", "seed": 9, "folder": "x"}
    (other / "config.json").write_text(json.dumps(config))
    with Viewer([seen, other], tmp_path) as viewer:
        compare = viewer.page("/compare")
        assert "run.seed" in compare.text
        assert "elsewhere/toy" in compare.text  # one name, told apart by where it lies
        assert "elsewhere/toy" in viewer.page("/runs/0").text
        assert "run.name" not in compare.text
        assert "Nothing was measured before and after" in compare.text  # in this world
        before = viewer.page("/runs/1").chart("chart-loss")
        step = {"event": "StepLogged", "time": 0, "stage": "train-policy", "step": 9, "values": {"loss": 0.1}}
        with (other / "events.jsonl").open("a") as file:
            file.write(json.dumps(step) + "\n" + '{"event": "StepLog')  # the last line is torn
        time.sleep(0.6)
        after = viewer.page("/runs/1").chart("chart-loss")
        assert after["y"] == [*before["y"], 0.1]
