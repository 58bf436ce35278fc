"""`salmon steer` on a run that goes on, its server, a restart, `salmon run --replay`, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from core_world import clear, environment, salmon
from serve_world import Server

from salmon_core.cli.main import main
from salmon_core.data.interventions import RECORD, read_record
from salmon_core.data.rollouts import read_rollout_rows, text_id

LETTERS = "The answer never mentions a letter."


def steer(run: Path, *args: str, code: int = 0) -> str:
    """In the test's own process, which starts sooner; another one than the run's and the server's all the same."""
    done = CliRunner().invoke(main, ["steer", str(run), *args])
    assert done.exit_code == code, done.output
    if code:
        clear(done.output)
    return done.output


def rewarded(server: Server, batch: int, *, engine: int = 0) -> list[float]:
    """Two rollouts of a batch, as an outside trainer reports them."""
    items = [
        {
            "id": f"{batch}-{engine}-{row}-{server.pid}",
            "row": row,
            "completion_ids": [*b"green trees", 257],
            "stopped": True,
            "rollout_index": batch,
        }
        for row in (0, 1)
    ]
    return server.score(items).totals


def test_steered_while_it_goes_on(living: Callable[..., Path], tmp_path: Path) -> None:
    """By the reward server of the run, which dies and is started again; then as another run's replay."""
    run = living()
    job = run / "train-policy" / "job.json"
    argv = [sys.executable, "-m", "salmon_serve", str(job), "--log-rollouts", "1"]
    steer(run, "--bonus", "letters=3", "--from-rollout", "4", "--reason", "later")
    with Server(argv, tmp_path / "one") as server:
        first = rewarded(server, 0)
        said = steer(run, "--add", LETTERS, "--reason", "they count letters")
        assert "from generated batch 1 on" in said
        assert rewarded(server, 0, engine=1) == first  # it began without it
        second = rewarded(server, 1)
        assert second != first
        assert "intervention 3" in steer(run, "--principle", "kind", "--negate", "--until", "4")
        assert "batch 1 was rewarded already" in steer(run, "--undo", "2", "--from-rollout", "1", code=1)
        third = rewarded(server, 2)
        steer(run, "--undo", "2")
        fourth = rewarded(server, 3)
        fifth = rewarded(server, 4)
        server.kill()
    whole = [first, second, third, fourth, fifth]
    assert fourth not in (third, fifth)
    assert fifth[0] == pytest.approx(first[0] + 2 * 4)  # four letters, each 3 instead of 1
    with Server(argv, tmp_path / "two") as server:
        assert [rewarded(server, batch) for batch in range(5)] == whole
        steer(run, "--weight", "kind=0")
        assert rewarded(server, 4) == fifth
    rows = list(read_rollout_rows(run / "train-policy"))
    assert {(row["rollout_index"], tuple(row["interventions"])) for row in rows} == {
        (0, ()), (1, (2,)), (2, (2, 3)), (3, (3,)), (4, (1,)),
    }  # fmt: skip
    assert all(row["text_ids"] == [text_id(each["text"]) for each in row["principles"]] for row in rows)
    listed = steer(run, "--json").splitlines()
    states = [json.loads(line)["state"] for line in listed if line.startswith("{")]
    assert states == ["in force", "until 3", "until 4", "done", "waits"]
    assert "they count letters" in salmon("steer", run, cwd=run.parent).out
    score = salmon("verify", run, run / "train-policy", cwd=run.parent)
    assert score.code == 0, score.text


@pytest.mark.slow
def test_replay(living: Callable[..., Path], tmp_path: Path) -> None:
    run = living()
    steer(run, "--add", LETTERS, "--from-rollout", "1")
    steer(run, "--bonus", "letters=-1", "--from-rollout", "2")
    record = read_record(run / RECORD)
    config = run.parents[1] / "salmon.yaml"
    quick = ["--set", "run.name=again", "--set", "train.options={rollouts: 2}"]
    done = salmon("run", config, *quick, "--replay", run, cwd=config.parent, env=environment(), timeout=180)
    assert done.code == 0, done.text
    again = run.parent / "again"
    assert read_record(again / RECORD) == record
    assert LETTERS in done.out  # the report says so
    report = json.loads((again / "report.json").read_text())
    assert [each["id"] for each in report["steered"]] == [1, 2]
    events = [json.loads(line) for line in (again / "events.jsonl").read_text().splitlines()]
    assert [each["id"] for each in events if each["event"] == "Intervened"] == [1, 2]
    with Server([sys.executable, "-m", "salmon_serve", str(run / "train-policy/job.json")], tmp_path / "a") as server:
        one = [rewarded(server, batch) for batch in range(3)]
    with Server([sys.executable, "-m", "salmon_serve", str(again / "train-policy/job.json")], tmp_path / "b") as server:
        assert [rewarded(server, batch) for batch in range(3)] == one
    # The same command finds it done; another record does it anew, and none leaves what is there.
    assert "train-policy  already done" in _told(salmon("run", config, *quick, "--replay", run, cwd=config.parent))
    assert "train-policy  already done" in _told(salmon("run", config, *quick, cwd=config.parent))
    other = tmp_path / "other.jsonl"
    other.write_text((run / RECORD).read_text().replace(LETTERS, "Be brief."))
    assert "train-policy  starts" in _told(salmon("run", config, *quick, "--replay", other, cwd=config.parent))
    assert read_record(again / RECORD)[0].text == "Be brief."
    assert next((again / "archive").glob(f"train-policy-*/{RECORD}")).read_text() == (run / RECORD).read_text()
    assert "nothing to steer" in steer(again, "--add", LETTERS, code=1)  # it is over
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text((run / RECORD).read_text().replace('"letters"', '"length"'))
    failed = salmon("run", config, *quick, "--replay", wrong, cwd=config.parent)
    assert failed.code != 0
    assert "intervention 2: the run has no bonus 'length'" in failed.text
    clear(failed.text)


def _told(done: Any) -> str:
    assert done.code == 0, done.text
    return str(done.text)


def test_refused(living: Callable[..., Path], tmp_path: Path) -> None:
    """One clear sentence, and nothing on the record."""
    run = living()
    cases = {
        ("--add", "long " * 400): "the reward model could not read it",
        ("--add", "  "): "is empty",
        ("--principle", "unkind"): "no principle named 'unkind'",
        ("--weight", "kind=2"): "`combine: joint`",
        ("--weight", "kind=-1"): ">= 0",
        ("--weight", "unkind=0"): "no principle 'unkind'",
        ("--weight", "kind"): "is NAME=NUMBER",
        ("--bonus", "letters=nan"): "finite",
        ("--bonus", "length=1"): "no bonus 'length' (it has letters)",
        ("--undo", "1"): "is not on the record",
        ("--add", "a", "--undo", "1"): "one intervention at a time",
        ("--add", "a", "--until", "3", "--from-rollout", "3"): "batch 3 is not after 3",
        ("--negate",): "about --principle",
        ("--until", "3"): "say what to do",
    }
    for args, says in cases.items():
        assert says in steer(run, *args, code=1), args
    assert not (run / RECORD).exists()
    assert "nobody has steered this run" in steer(run)
    assert "there is no run" in steer(tmp_path / "gone", "--add", "a", code=1)
