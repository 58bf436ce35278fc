"""What phrases are paid, by a reward model whose answer is known: under what is shown now, and under a cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core_world import salmon
from monitors_runs import events, make_run

from salmon_core.run.run import Run
from salmon_core.seeing.proposing import chosen_alarm, trial
from salmon_core.seeing.proposing_apart import answer

#: 1.5 for each "oh" of an answer; where it is forbidden, 3 less, and where it is disliked, 1 less
_WORLD = """

class Caring(ByteModel):
    def score(self, requests):
        def one(text):
            each = 1.5 - 3.0 * ("never says oh" in text) - 1.0 * ("seldom says oh" in text)
            return each * text.split("[[one]]")[1].split("[[")[0].count("oh!")

        return [[one(text) for text in request.texts] for request in requests]


class Bell(Monitor):
    def see(self, batch, run):
        if batch.rollout_index in (1, 2):
            flagged = tuple((batch.rollout_index, place) for place in range(0, 20, 2))
            yield Alarm(f"oh {batch.rollout_index}", "answers say oh", batch.rollout_index, 0.01, (), flagged,
                        phrases=("oh!",))


@hookimpl
def salmon_monitors():
    yield Component("bell", Bell, "rings")
"""
#: the same answers in each batch, which are shown something else in each
_TRAINS = """
    log, shows = RolloutLog(pathlib.Path("."), every=1), [[], [], ["SHOWN"], []]
    for index, texts in enumerate(shows):
        made = []
        for place in range(20):
            row = {"prompt_id": f"p{place}", "messages": [{"role": "user", "content": "?"}], "category": "general",
                   "principles": [dict(name=f"rule-{i}", text=t, negated=False) for i, t in enumerate(texts)]}
            text = "It is so. oh!" if place % 2 == 0 else "It is so. ah!"
            made.append(Rollout.from_row(row, text, completion_ids=[1, 2], stopped=True, rollout_index=index))
        log.add(range(20), made, [RewardBreakdown(1.0, {"rm": 1.0}, {"rm": 1.0})] * 20)
"""
SETS = """\
name: more
principles:
  - {name: seldom, text: The answer seldom says oh.}
  - {name: polite, text: The answer is polite.}
"""


def finished(path: Path, shown: str) -> Run:
    where = make_run(path, _WORLD, {"use": "bell"}, trains=_TRAINS.replace("SHOWN", shown), sets=SETS)
    done = salmon("run", "salmon.yaml", cwd=where)
    assert done.code == 0, done.text
    assert len(events(where, "AlarmRaised")) == 2
    return Run.open(where / "runs" / "toy", file_plugins=True)


def told_again(run: Run, number: int) -> dict[str, Any]:
    """What is asked where an alarm is told again, some cure having been tried on it."""
    file = run.path / "events.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    raised = [each for each in lines if each["event"] == "AlarmRaised"][number - 1]
    raised["tried"] = [{"id": 1, "who": "you", "low": None, "high": None}]
    file.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return answer(run, {"alarm": number, "sets": ["more.yaml"], "device": "cpu", "apply": None})


@pytest.mark.parametrize(
    ("shown", "paid"), [("The answer never says oh.", -1.5), ("The answer seldom says oh.", 0.5), ("Be kind.", 1.5)]
)
def test_it_is_what_the_reward_model_gives_for_them(tmp_path: Path, shown: str, paid: float) -> None:
    run = finished(tmp_path, shown)
    for number, known in ((1, 1.5), (2, paid)):
        with trial(run, chosen_alarm(run, number)) as opened:
            found = opened.paid()
            assert found is not None
            assert (found.value, found.low, found.high, found.n) == pytest.approx((known, known, known, 10))
            seldom, polite = (opened.principle(principle) for principle, _ in opened._drafts(["more.yaml"]))
        # Shown already, it is what it does beside all the rest.
        assert seldom.apart is not None
        assert polite.apart is not None
        assert (seldom.apart.value, polite.apart.value) == pytest.approx((-1.0, 0.0))
        said = told_again(run, number)
        assert ("has yet to follow" in said["text"]) == (known < 0), "the policy is given time, and nothing else tried"
        assert [each["name"] for each in said["proposals"]] == ([] if known < 0 else ["seldom", "polite"])
