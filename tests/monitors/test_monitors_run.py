"""Monitors in runs: alarms on record once, in the report and at the terminal; a run that is ended, and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from core_world import document, make_folder, salmon

MONITOR = '''

class Bell(Monitor):
    """Rings at every batch, about its reward."""

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        fails: bool = False

    def __init__(self, options):
        self.fails = options.fails

    def see(self, batch, run):
        if self.fails:
            raise RuntimeError("the bell is broken")
        best = max(batch.rollouts, key=lambda each: each.reward)
        yield Alarm("best", f"the best has {best.reward:g}", batch.rollout_index, 0.01, (best.completion,), ((0, 1),))
        yield Alarm(f"batch {batch.rollout_index}", "one more", batch.rollout_index, 0.5)


@hookimpl
def salmon_monitors():
    yield Component("bell", Bell, "rings", default=True)
'''


def folder(path: Path, **changes: Any) -> Path:
    make_folder(path, yaml.safe_dump(document(**changes)))
    world, begin = path / "world.py", "from __future__ import annotations\n"
    imports = f"{begin}from salmon_core.api import Alarm, Monitor\n"
    world.write_text(world.read_text().replace(begin, imports, 1) + MONITOR)
    return path


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "events.jsonl").read_text().splitlines()
    return [each for line in lines if (each := json.loads(line))["event"] == kind]


def test_alarms_are_on_record_once(tmp_path: Path) -> None:
    where = folder(tmp_path, monitors={}, train={"backend": "toy", "algorithm": "toy", "options": {"rollouts": 3}})
    done = salmon("run", "salmon.yaml", cwd=where)
    assert done.code == 0, done.text
    assert done.text.count("bell: the best has 5") == 2, "while it goes on, and in the report"
    run = where / "runs" / "toy"
    told = events(run, "AlarmRaised")
    assert [each["about"] for each in told] == ["best", "batch 0", "batch 1", "batch 2"]
    assert told[0]["examples"] == ["b"]
    report = json.loads((run / "report.json").read_text())
    assert [each["about"] for each in report["alarms"]] == [each["about"] for each in told]
    again = salmon("run", "salmon.yaml", cwd=where)
    assert again.code == 0
    assert len(events(run, "AlarmRaised")) == 4
    assert json.loads((run / "report.json").read_text())["alarms"] == report["alarms"]


def test_an_alarm_can_end_the_run(tmp_path: Path) -> None:
    where = folder(tmp_path, monitors={"use": "bell", "on_alarm": "stop"})
    done = salmon("run", "salmon.yaml", cwd=where)
    assert done.code == 1
    assert "bell: the best has 5" in done.text
    assert "on_alarm: note" in done.text
    assert "Traceback" not in done.text
    going_on = salmon("run", "salmon.yaml", "--set", "monitors.on_alarm=note", cwd=where)
    assert going_on.code == 0, going_on.text
    assert len([each for each in events(where / "runs" / "toy", "AlarmRaised") if each["about"] == "best"]) == 1


def test_a_monitor_that_fails_ends_nothing(tmp_path: Path) -> None:
    where = folder(tmp_path, monitors={"use": [{"name": "bell", "fails": True}]})
    done = salmon("run", "salmon.yaml", cwd=where)
    assert done.code == 0, done.text
    assert "bell" in done.text
    assert "it watches no more" in done.text
    assert done.text.count("the bell is broken") == 1


def test_what_cannot_work_is_said_at_once(tmp_path: Path) -> None:
    wrong = {"use": ["no-such", {"name": "bell", "loud": 1}]}
    done = salmon("check", "salmon.yaml", cwd=folder(tmp_path / "a", monitors={**wrong, "on_alarm": "shout"}))
    assert done.code == 2
    assert "monitors.on_alarm" in done.text
    done = salmon("check", "salmon.yaml", cwd=folder(tmp_path / "b", monitors=wrong, train={"algorithm": "none"}))
    assert done.code == 2
    for part in ("monitors.use[0]", "no-such", "monitors.use[1]", "loud", "train.algorithm is none"):
        assert part in done.text
