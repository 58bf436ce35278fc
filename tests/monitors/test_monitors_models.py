"""Monitors that use models in a run: one process at a time beside the trainer, answers kept, a run that is killed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from monitors_runs import begun, events, log, make_run

_WORLD = """

class Asker(ModelMonitor):
    class Options(BaseModel):
        fails: bool = False

    def __init__(self, options):
        self.options = options

    def ask(self, batch, run):
        if batch.rollout_index % 2 == 0:
            return {"index": batch.rollout_index, "text": batch.rollouts[0].completion}

    def measure(self, question, run):
        import os, pathlib
        log = pathlib.Path(__file__).with_name("measured.txt")
        with log.open("a") as file:
            print("begins", question["index"], os.getpid(), file=file)
        if self.options.fails:
            raise RuntimeError("there is no such model")
        shown = ShownPrinciple("kind", "The answer is kind.")
        scores = run.score_texts([([{"role": "user", "content": "?"}], question["text"], [[shown], []])])
        with log.open("a") as file:
            print("ends", question["index"], os.getpid(), file=file)
        return {"scores": scores[0], "set": len(run.principle_set("rules.yaml"))}

    def hear(self, batch, answer, run):
        if batch.rollout_index == 6:
            yield Alarm("six", f"scores {len(answer['scores'])}, {answer['set']} principles", batch.rollout_index, 0.5)


class Bell(Monitor):
    def see(self, batch, run):
        if batch.rollout_index == 3:
            yield Alarm("short", "short answers", 3, 0.1, (), tuple((3, place) for place in range(12)), "Be long.")


@hookimpl
def salmon_monitors():
    yield Component("asker", Asker, "asks")
    yield Component("bell", Bell, "rings")
"""
#: rewards that rise from the third batch on, for answers with fewer letters
_TRAINS = """
    where = pathlib.Path("../../..")
    log = RolloutLog(pathlib.Path("."), every=1)
    for index in range(8):
        made, rewards = [], []
        for place in range(24):
            row = {"prompt_id": f"p{place}", "messages": [{"role": "user", "content": "?"}], "category": "general",
                   "principles": [{"name": "kind", "text": "The answer is kind.", "negated": False}]}
            text = "a" * (place % 5 + 1) if index > 2 else "a" * 20
            made.append(Rollout.from_row(row, text, completion_ids=[1, 2], stopped=True, rollout_index=index))
            rewards.append(float(index > 2) * 5 + place % 3)
        log.add(range(24), made, [RewardBreakdown(r, {"rm": r}, {"rm": r}) for r in rewards])
    while not (where / "go-on").exists():
        time.sleep(0.05)
"""


def folder(path: Path, *use: Any) -> Path:
    monitors = {"use": list(use), "on_alarm": "propose", "from_sets": []}
    return make_run(path, _WORLD, monitors, trains=_TRAINS)


@pytest.mark.slow
def test_one_process_at_a_time_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    models = {"window": 1, "every": 1, "most": 20}
    use = ("asker", "bell", {"name": "second-opinion", **models}, {"name": "disagreement", **models})
    where = folder(tmp_path, *use)
    kept = where / "runs" / "toy" / "train-policy" / "measured"
    process, deadline = begun(where), time.monotonic() + 150
    while not (kept / "1-asker-000002-kept.json").exists():
        assert process.poll() is None, log(where)
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {file.name: file.read_bytes() for file in kept.glob("*-kept.json")}
    (where / "go-on").touch()
    assert begun(where).wait(200) == 0, log(where)
    (alarm,) = [each for each in events(where, "AlarmRaised") if each["monitor"] == "asker"]
    assert (alarm["text"], alarm["rollout_index"]) == ("scores 2, 2 principles", 6)
    assert not [each for each in events(where, "Note") if "monitor" in each["text"]], "none failed"
    assert [each for each in events(where, "Note") if "waits for measurements beside it" in each["text"]]
    found = {file.name: file.read_bytes() for file in kept.glob("*-kept.json")}
    assert before.items() <= found.items()
    lines = [line.split() for line in (where / "measured.txt").read_text().splitlines()]
    ended = [number for what, number, _ in lines if what == "ends"]
    assert sorted(ended) == ["0", "2", "4", "6"], "each was measured to its end once"
    for number in ended:  # nothing else ran between its beginning and its end
        (place,) = [at for at, line in enumerate(lines) if line[:2] == ["ends", number]]
        assert lines[place - 1][1:] == lines[place][1:]
    proposed = next(each for each in events(where, "Proposed") if each["monitor"] == "bell")
    last = max(file.stat().st_mtime for file in kept.glob("*-kept.json"))
    assert proposed["time"] < last, "an alarm's answer waits for one measurement, not for all"
    opinion = json.loads(found["3-second-opinion-000003-kept.json"])["answer"]["preferred"]
    assert {name: len(scores) for name, scores in opinion.items()} == {"short": 20, "kind": 20}
    words = json.loads(found["4-disagreement-000001-kept.json"])["answer"]["scores"]
    assert (len(words), len(words[0])) == (20, 3), "the own words, and two frames around them"


@pytest.mark.slow
def test_one_that_cannot_measure_is_named_and_ends_nothing(tmp_path: Path) -> None:
    where = folder(tmp_path, {"name": "asker", "fails": True})
    (where / "go-on").touch()
    assert begun(where).wait(200) == 0, log(where)
    (note,) = [each for each in events(where, "Note") if "monitor" in each["text"]]
    for part in ("asker", "there is no such model", "it watches no more"):
        assert part in note["text"]
    assert (where / "measured.txt").read_text().count("begins") == 1, "nothing more is asked of it"
