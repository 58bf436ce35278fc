"""A run whose first cure does nothing: told again, the next takes its place, and cures; killed, and replayed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import SALMON, document, environment, make_folder, salmon

from salmon_core.data.interventions import last_begun, read_record

#: a reward model that lowers what says b under two rules; a policy that obeys the weaker one alone
_WORLD = """

class Caring(ByteModel):
    def score(self, requests):
        rules = {"never says b": -4.0, "avoids b": -2.0}
        return [[sum(cost for rule, cost in rules.items() if rule in text) * text.split("[[one]]")[1].count("b")
                 for text in request.texts] for request in requests]


class CaringEngine(ByteEngine):
    def scorer(self, model):
        return Caring(model, self.options.scale)


class Bees(Monitor):
    def see(self, batch, run):
        said = [each for each in batch.rollouts if each.completion == "b"]
        if len(said) > 0.25 * len(batch.rollouts):
            flagged = tuple((each.rollout_index, each.place) for each in said)
            yield Alarm("b", "answers say b", batch.rollout_index, 0.01, ("b",), flagged)

    def shows(self, about, rollout):
        return float(rollout.completion == "b")


@hookimpl
def salmon_monitors():
    yield Component("bees", Bees, "rings")


@hookimpl
def salmon_engines():
    yield Component("bytes", ByteEngine, "a token is a byte")
    yield Component("caring", CaringEngine, "cares")
"""
_TRAINS = """
    from salmon_core.data.interventions import last_begun
    from salmon_core.reward.steering import Steering

    log, run, where = RolloutLog(pathlib.Path("."), every=1), pathlib.Path("..").resolve(), pathlib.Path("../../..")
    begun, steering, index = last_begun(run), Steering(record=str(run / "interventions.jsonl")), -1
    while not (where / "last").exists() or index < int((where / "last").read_text()):
        index += 1
        force = steering.at(index)
        says = 0 if any("avoids" in each.text for each in force.principles) else 14
        made = []
        for place in range(20):
            row = {"prompt_id": f"p{place}", "messages": [{"role": "user", "content": "?"}], "category": "general",
                   "principles": [dataclasses.asdict(each) for each in force.shown(())]}
            text = "b" if place < says else "a"
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


def folder(path: Path) -> Path:
    monitors = {
        "use": "bees",
        "from_sets": ["more.yaml"],
        "on_alarm": "apply",
        "apply": {"at_most": 2, "kl": 5},
        "again": {"after": 3, "unanswered": 10000},
    }
    changes: dict[str, Any] = {
        "monitors": monitors,
        "train": {"backend": "toy", "algorithm": "toy"},
        "reward": {"principles": "rules.yaml", "show": 1, "engine": "caring"},
    }
    make_folder(path, yaml.safe_dump(document(**changes)))
    (path / "more.yaml").write_text(SETS)
    world, begin = path / "world.py", "from __future__ import annotations\n"
    text = world.read_text().replace(begin, f"{begin}from salmon_core.api import Alarm, Monitor\n", 1)
    old = text[text.index("@hookimpl\ndef salmon_engines") : text.index('a token is a byte")\n') + 20]
    loop = text[text.index("    log = RolloutLog(") : text.index('print("some output')]
    text = (
        text.replace(old, "")
        .replace(loop, _TRAINS[1:])
        .replace("import json, pathlib", "import dataclasses, json, pathlib")
    )
    world.write_text(text.replace('{"loss": values["loss"]}', '{"loss": 1.0, "kl": 2.0}') + _WORLD)
    return path


def events(where: Path, *kinds: str) -> list[dict[str, Any]]:
    file = where / "runs" / "toy" / "events.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [each for line in lines if (each := json.loads(line))["event"] in kinds]


def begun(where: Path) -> subprocess.Popen[bytes]:
    with (where / "run.log").open("ab") as log:
        return subprocess.Popen(
            [str(SALMON), "run", "salmon.yaml"], cwd=where, env=environment(), stdout=log, stderr=log
        )


def wait_for(where: Path, process: subprocess.Popen[bytes], kind: str, count: int) -> None:
    deadline = time.monotonic() + 200
    while len(events(where, kind)) < count:
        assert process.poll() is None, (where / "run.log").read_text()
        assert time.monotonic() < deadline, (where / "run.log").read_text()
        time.sleep(0.05)


@pytest.mark.slow
def test_what_does_nothing_is_replaced_and_the_next_one_cures(tmp_path: Path) -> None:
    where = folder(tmp_path / "a")
    process = begun(where)
    wait_for(where, process, "AlarmRaised", 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(events(where, "Proposed")) == 1, "killed between the second telling and its answer"
    process = begun(where)
    wait_for(where, process, "AlarmFollowed", 1)
    (where / "last").write_text(str(last_begun(where / "runs" / "toy") + 3))
    assert process.wait(200) == 0, (where / "run.log").read_text()
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
    other = folder(tmp_path / "b")
    (other / "last").write_text((where / "last").read_text())
    done = salmon("run", "salmon.yaml", "--replay", where / "runs/toy/interventions.jsonl", cwd=other, timeout=300)
    assert done.code == 0, done.text
    again = events(other, "AlarmRaised", "AlarmFollowed")
    assert [each | {"time": 0} for each in again] == [each | {"time": 0} for each in told]
    assert [each["applied"] for each in events(other, "Proposed")] == [1, 2]
    assert len(read_record(other / "runs" / "toy" / "interventions.jsonl")) == 3
