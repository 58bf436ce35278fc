"""What becomes of an alarm: proposals on record, and within bounds the best of them applied to the run that goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from core_world import environment, salmon
from monitors_runs import begun, events, log, make_run, wait_for

from salmon_core.data.interventions import read_record
from salmon_core.errors import SalmonError
from salmon_core.run.run import Run
from salmon_core.seeing.proposing_apart import answer

ROOT = Path(__file__).resolve().parents[2]

#: a reward model that cares about one rule alone, a monitor that flags what breaks it, and a trainer that goes on until
#: it is told to end; it logs a KL of 2
_WORLD = """

class Caring(ByteModel):
    def score(self, requests):
        return [[-4.0 * ("never says b" in text and text.split("[[one]]")[1].count("b")) for text in r.texts]
                for r in requests]


class Bell(Monitor):
    def see(self, batch, run):
        if batch.rollout_index == 2:
            flagged = tuple((index, 1) for index in range(3))
            yield Alarm("b", "answers say b", 2, 0.01, ("b",), flagged, "The answer never says b.")


@hookimpl
def salmon_monitors():
    yield Component("bell", Bell, "rings")
"""
_WAITS = """
while job["stage"] == "train-policy" and not pathlib.Path("go-on").exists():
    time.sleep(0.05)
"""
SETS = """\
name: more
principles:
  - {name: polite, text: The answer is polite.}
  - {name: no-b, text: It never says b.}
"""


def folder(path: Path, **monitors: Any) -> Path:
    how = {"use": "bell", "from_sets": ["more.yaml"], **monitors}
    make_run(path, _WORLD, how, waits=_WAITS, sets=SETS, logs='{"loss": 1.0, "kl": 2.0}', options={"rollouts": 4})
    world = path / "world.py"
    world.write_text(world.read_text().replace('row = {"prompt_id": "p"', 'row = {"prompt_id": f"p{index}"'))
    return path


def go_on(where: Path) -> None:
    (where / "runs" / "toy" / "train-policy" / "go-on").touch()


def test_the_best_is_applied_while_it_goes_on(tmp_path: Path) -> None:
    """Killed between the alarm and its answer; the same command asks again, applies once, and says so everywhere."""
    where = folder(tmp_path, on_alarm="apply", apply={"at_most": 1, "kl": 5})
    process = begun(where)
    wait_for(where, process, "AlarmRaised")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not events(where, "Proposed")
    process = begun(where)
    wait_for(where, process, "Intervened")
    go_on(where)
    assert process.wait(120) == 0, log(where)
    (entry,) = read_record(where / "runs" / "toy" / "interventions.jsonl")
    assert (entry.who, entry.reason, entry.text) == ("monitor bell", "alarm 1: b", "It never says b.")
    (told,) = events(where, "Proposed")
    assert (told["alarm"], told["applied"]) == (1, 1)
    assert [(each["text"], each["source"], each["works"]) for each in told["proposals"]] == [
        ("It never says b.", "more.yaml", True),
        ("The answer never says b.", "", True),  # the alarm's draft
        ("The answer is polite.", "more.yaml", False),
    ]
    assert told["proposals"][0]["apart"]["value"] == pytest.approx(-4.0)
    report = json.loads((where / "runs" / "toy" / "report.json").read_text())
    assert report["alarms"][0]["proposed"]["applied"] == 1
    assert report["steered"][0]["who"] == "monitor bell"
    assert "intervention 1" in log(where)
    shown = salmon("report", "runs/toy", cwd=where)
    assert "would be forbidden by 'It never says b.'" in shown.text


def test_nothing_is_applied_beyond_the_bounds(tmp_path: Path) -> None:
    where = folder(tmp_path, on_alarm="apply", apply={"at_most": 1, "kl": 1.5})
    process = begun(where)
    wait_for(where, process, "AlarmRaised")
    go_on(where)
    assert process.wait(120) == 0, log(where)
    (told,) = events(where, "Proposed")
    assert told["text"].endswith("not applied: the KL is 2, above 1.5")
    assert told["applied"] is None
    assert told["proposals"][0]["works"]
    assert not (where / "runs" / "toy" / "interventions.jsonl").exists()
    cost = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "monitors.py", "runs/toy"],
        cwd=where, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert cost.returncode in (0, 1), cost.stderr
    assert {"| bell", "| all"} <= {line.split(" | ")[0] for line in cost.stdout.splitlines()}, cost.stderr
    # What is asked of the same run in other words, as the process beside the trainer does.
    run = Run.open(where / "runs" / "toy")
    asked = {"alarm": 1, "sets": [], "device": "cpu", "apply": None}
    said = answer(run, asked)
    assert said["text"].endswith("against the others")
    assert [each["source"] for each in said["proposals"]] == [""]
    within = {"at_most": 1, "kl": 5.0, "now": 2.0, "who": "monitor bell"}
    for sets, bounds, why in (
        (["more.yaml"], {**within, "now": None}, "the trainer logs no `kl`"),
        (["more.yaml"], within, "the training of its policy is over"),
        ([], within, "no reward model was shown its words before"),  # the draft alone
    ):
        said = answer(run, {**asked, "sets": sets, "apply": bounds})
        assert said["applied"] is None
        assert why in said["text"]
    file = where / "runs" / "toy" / "events.jsonl"
    file.write_text(file.read_text().replace('"bonus": ""', '"bonus": "rm"'))  # what the alarm could be about as well
    said = answer(run, asked)
    without = next(each for each in said["proposals"] if each["what"] == "bonus")
    assert (without["name"], without["works"]) == ("rm", True)
    assert [without[side]["value"] for side in ("flagged", "others")] == [-5.0, -3.0]
    assert "salmon steer" in salmon("propose", "runs/toy", "--from-set", "more.yaml", cwd=where).text
    file.write_text(file.read_text().replace("[[0, 1], [1, 1], [2, 1]]", "[[77, 1]]"))
    with pytest.raises(SalmonError, match="not written down"):
        answer(run, asked)


def test_bounds_are_asked_for_at_once(tmp_path: Path) -> None:
    done = salmon("check", "salmon.yaml", cwd=folder(tmp_path / "a", on_alarm="apply", from_sets=["gone.yaml"]))
    assert done.code == 2
    for part in ("monitors.apply", "needs bounds", "monitors.from_sets[0]", "gone.yaml"):
        assert part in done.text
    done = salmon("check", "salmon.yaml", cwd=folder(tmp_path / "b", on_alarm="note", apply={"at_most": 1, "kl": 1}))
    assert done.code == 2
    assert "nothing is applied with `on_alarm: note`" in done.text
