"""A run whose first cure does nothing: told again, the next is applied, and cures; killed, and replayed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from core_world import salmon
from monitors_runs import begun, events, log, make_run, wait_for

from salmon_core.data.interventions import last_begun, read_record

#: a reward model that lowers what says b under two rules, under the stronger one only what says it once
_WORLD = """

class Caring(ByteModel):
    def score(self, requests):
        def one(text):
            said = text.split("[[one]]")[1].split("[[")[0].count("b")
            return -4.0 * (said == 1) * ("never says b" in text) - 2.0 * said * ("avoids b" in text)

        return [[one(text) for text in request.texts] for request in requests]


SAID = ("b", "bb")


class Bees(Monitor):
    def see(self, batch, run):
        said = [each for each in batch.rollouts if each.completion in SAID]
        if len(said) > 0.25 * len(batch.rollouts):
            flagged = tuple((each.rollout_index, each.place) for each in said)
            yield Alarm("b", "answers say b", batch.rollout_index, 0.01, ("b",), flagged)

    def shows(self, about, rollout):
        return float(rollout.completion in SAID)


@hookimpl
def salmon_monitors():
    yield Component("bees", Bees, "rings")
"""
#: a policy that obeys the weaker rule alone; under the stronger one it says what SLIPS is
_TRAINS = """
    from salmon_core.data.interventions import last_begun
    from salmon_core.reward.steering import Steering

    log, run, where = RolloutLog(pathlib.Path("."), every=1), pathlib.Path("..").resolve(), pathlib.Path("../../..")
    begun, steering, index = last_begun(run), Steering(record=str(run / "interventions.jsonl")), -1
    while not (where / "last").exists() or index < int((where / "last").read_text()):
        index += 1
        force = steering.at(index)
        says = 0 if any("avoids" in each.text for each in force.principles) else 14
        word = SLIPS if any("never" in each.text for each in force.principles) else "b"
        made = []
        for place in range(20):
            row = {"prompt_id": f"p{place}", "messages": [{"role": "user", "content": "?"}], "category": "general",
                   "principles": [dataclasses.asdict(each) for each in force.shown(())]}
            text = word if place < says else "a"
            made.append(Rollout.from_row(row, text, completion_ids=[1, 2], stopped=True, rollout_index=index))
        one = RewardBreakdown(1.0, {"rm": 1.0}, {"rm": 1.0}, interventions=force.ids)
        log.add(range(20), made, [one] * 20)
        if index > begun and not (where / "last").exists():
            time.sleep(0.2)
"""
SETS = (
    "name: more\nprinciples:\n  - {name: never, text: The answer never says b.}\n"
    "  - {name: avoid, text: The answer avoids b.}\n"
)


def folder(path: Path, slips: str) -> Path:
    monitors = {
        "use": "bees",
        "from_sets": ["more.yaml"],
        "on_alarm": "apply",
        "apply": {"at_most": 2, "kl": 5},
        "again": {"after": 3, "unanswered": 10000},
    }
    return make_run(
        path, _WORLD, monitors, trains=_TRAINS.replace("SLIPS", repr(slips)), sets=SETS, logs='{"loss": 1.0, "kl": 2.0}'
    )


@pytest.mark.slow
def test_what_does_nothing_is_replaced_and_the_next_one_cures(tmp_path: Path) -> None:
    where = folder(tmp_path / "a", "bb")
    process = begun(where)
    wait_for(where, process, "AlarmRaised", 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(events(where, "Proposed")) == 1, "killed between the second telling and its answer"
    process = begun(where)
    wait_for(where, process, "AlarmFollowed", 1)
    (where / "last").write_text(str(last_begun(where / "runs" / "toy") + 3))
    assert process.wait(200) == 0, log(where)
    first, second, undo = read_record(where / "runs" / "toy" / "interventions.jsonl")
    assert (first.name, first.who, first.reason) == ("never", "monitor bees", "alarm 1: b")
    assert (second.name, second.reason) == ("avoid", "alarm 2: b, told again (1)")
    assert (undo.undoes, undo.who, undo.from_rollout) == (1, "monitor bees", second.from_rollout)
    told = events(where, "AlarmRaised", "AlarmFollowed")
    assert [each["event"] for each in told] == ["AlarmRaised", "AlarmRaised", "AlarmFollowed"]
    assert told[1]["rollout_index"] == first.from_rollout + 2, "the third batch under a cure that does nothing"
    assert told[1]["tried"][0]["low"] < 0 < told[1]["tried"][0]["high"]
    assert (told[2]["state"], told[2]["rollout_index"]) == ("cured", second.from_rollout)
    assert [each["applied"] for each in events(where, "Proposed")] == [1, 2]
    assert events(where, "Proposed")[1]["undone"] == [1]
    shown = salmon("report", "runs/toy", cwd=where).text
    for part in (
        "alarm told again",
        f"cured since batch {second.from_rollout}",
        "in the place of 1",
        "0.70 -> 0.00 [-",
    ):
        assert part in shown
    other = folder(tmp_path / "b", "bb")
    (other / "last").write_text((where / "last").read_text())
    done = salmon("run", "salmon.yaml", "--replay", where / "runs/toy/interventions.jsonl", cwd=other, timeout=300)
    assert done.code == 0, done.text
    again = events(other, "AlarmRaised", "AlarmFollowed")
    assert [each | {"time": 0} for each in again] == [each | {"time": 0} for each in told]
    assert [each["applied"] for each in events(other, "Proposed")] == [1, 2]
    assert len(read_record(other / "runs" / "toy" / "interventions.jsonl")) == 3


@pytest.mark.slow
def test_what_the_reward_model_still_lowers_stays(tmp_path: Path) -> None:
    """The policy has not followed yet: less would be forbidden without it."""
    where = folder(tmp_path, "b")
    process = begun(where)
    wait_for(where, process, "AlarmFollowed")
    (where / "last").write_text(str(last_begun(where / "runs" / "toy") + 3))
    assert process.wait(200) == 0, log(where)
    first, second = read_record(where / "runs" / "toy" / "interventions.jsonl")
    assert (first.name, second.name) == ("never", "avoid")
    assert events(where, "AlarmRaised")[1]["tried"][0]["high"] > 0, "it was not shown to have lowered it"
    assert events(where, "Proposed")[1]["undone"] == []
