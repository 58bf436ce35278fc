"""`salmon report` begins with a verdict, of any run; `salmon compare` puts runs beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from core_world import clear, salmon


def estimate(value: float, half: float = 0.05, n: int = 60) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def make_run(folder: Path, name: str, *, after: float, weight: float, alarms: int = 0) -> Path:
    """What a finished run leaves that reports read: its configuration, its events and its report."""
    run = folder / name
    run.mkdir(parents=True)
    document = {"run": {"name": name, "seed": 1}, "train": {"algorithm": "ppo"}, "reward": {"rm_weight": weight}}
    (run / "config.json").write_text(json.dumps({"base": str(folder), "source": "salmon.yaml", "document": document}))
    change = after - 0.2
    target = {"name": "kind", "before": 0.2, "after": after, "change": change, "ci": [change - 0.1, change + 0.1]}
    parts = {"rm": {"before": estimate(0.0), "after": estimate(after), "change": estimate(after)}}
    report = {
        "salmon": "0.1.0", "run": name, "seed": 1, "algorithm": "ppo", "steered": [], "judge": {}, "rm": {},
        "principles": {"judged": [], "rewarded": {"kind": "Be kind."} if weight else {}, "interventions": {}},
        "bonuses": {"length": 1.0}, "sections": [], "deviations": [], "stages": {}, "expect": [], "signatures": [],
        "targets": [target | {"n": 60, "wanted": "more", "touched_by": []}],
        "evaluators": {"reward-shift": {"components": parts}},
        "alarms": [{"monitor": "drift", "about": "longer", "text": "now \x1b[31mlonger", "p": 0.01}] * alarms,
    }  # fmt: skip
    events = [{"event": "RunStarted", "time": 1.0, "stages": ["report"]}, {"event": "RunFinished", "time": 2.0}]
    (run / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    (run / "report.json").write_text(json.dumps(report))
    return run


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"after": 0.8, "weight": 1.0}, ("It worked", "1 of 1 targets moved as wanted", "kind, length (bonus)")),
        ({"after": 0.21, "weight": 1.0}, ("It did not work", "not shown to move: kind")),
        ({"after": 0.8, "weight": 1.0, "alarms": 1}, ("exploited", "drift: now  [31mlonger")),
        ({"after": 0.8, "weight": 0.0}, ("rewarded: length (bonus)",)),
    ],
    ids=["worked", "did not", "exploited", "bonuses alone"],
)  # fmt: skip
def test_a_report_says_first_whether_it_worked(made: Mapping[str, Any], said: tuple[str, ...], tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", **made)
    shown = salmon("report", run, cwd=tmp_path)
    assert shown.code == 0, shown.text
    for part in said:
        assert part in shown.text
    assert "\x1b" not in shown.text
    if "It" in said[0]:
        assert shown.text.index(said[0]) < shown.text.index("rate on held-out")
    asked = json.loads(salmon("report", run, "--json", cwd=tmp_path).text)
    assert asked["run"] == "one"
    assert set(asked["verdict"]) == {"word", "worked", "sure", "given_up", "exploited"}


def test_a_run_without_a_report_says_how_it_stands(tmp_path: Path) -> None:
    run = make_run(tmp_path, "one", after=0.8, weight=1.0)
    (run / "report.json").unlink()
    (run / "events.jsonl").write_text(
        json.dumps({"event": "RunStarted", "time": 1.0, "stages": ["sample"]}) + "\n"
        + json.dumps({"event": "RunFinished", "time": 2.0, "error": "no model"}) + "\n"
    )  # fmt: skip
    shown = salmon("report", run, cwd=tmp_path)
    assert shown.code == 1
    assert "It failed" in shown.text
    assert "no report.json yet" in shown.text
    nothing = salmon("report", tmp_path, cwd=tmp_path)
    assert "there is no run in this folder" in nothing.err
    clear(nothing.text)


def test_runs_beside_each_other(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, name, after=after, weight=1.0) for name, after in (("one", 0.5), ("two", 0.9))]
    document = json.loads((runs[1] / "config.json").read_text())
    bonuses = [{"name": "length", "weight": 1.0, "options": {}}, {"name": "calm", "weight": 2.0, "options": {"of": 3}}]
    document["document"]["reward"] |= {"show": 3, "bonuses": bonuses}
    (runs[1] / "config.json").write_text(json.dumps(document))
    document["document"]["reward"] |= {"show": None, "bonuses": [{**bonuses[0], "weight": 0.5}]}
    (runs[0] / "config.json").write_text(json.dumps(document))
    report = json.loads((runs[1] / "report.json").read_text())
    parts = report["evaluators"]["reward-shift"]["components"]
    parts["calm"] = parts["rm"]
    report["evaluators"]["other"] = {"rates": parts}
    (runs[1] / "report.json").write_text(json.dumps(report))
    shown = salmon("compare", *runs, cwd=tmp_path)
    assert shown.code == 0, shown.text
    assert "reward.show" in shown.text
    assert "run.name" not in shown.text
    assert "+0.40 [+0.26, +0.54]" in shown.text, "the difference of two independent changes, 0.1 each way"
    found = json.loads(salmon("compare", *runs, "--json", cwd=tmp_path).text)
    differs = {each["key"]: each["values"] for each in found["settings"]}
    assert differs == {
        "reward.show": [None, 3],
        "reward.bonuses.length.weight": [0.5, 1.0],
        "reward.bonuses.calm": [None, True],
        "reward.bonuses.calm.weight": [None, 2.0],
        "reward.bonuses.calm.options.of": [None, 3],
    }
    groups = [each["group"] for each in found["measured"]]
    assert groups == sorted(groups, key=groups.index), "each group once"
    assert [each["verdict"]["word"]["text"] for each in found["runs"]] == ["It worked", "It worked"]
    for wrong in ([runs[0]], [runs[0], tmp_path]):
        refused = salmon("compare", *wrong, cwd=tmp_path)
        assert refused.code == 1
        clear(refused.text)
