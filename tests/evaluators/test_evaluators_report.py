"""What the report says: evaluators' results, expectations, and where a run differs from the paper."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import environment, salmon
from evaluated import Finished
from rich.console import Console

from salmon_core.api import Metrics, RewardModelAccuracy, Section, Target
from salmon_core.cli.report import print_report
from salmon_core.cli.verdict import summary_of
from salmon_core.config.resolve import load
from salmon_core.records import Estimate
from salmon_core.stages.report import ALWAYS, build_report, lookup

PAPER: dict[str, Any] = {
    "run": {"name": "paper"},
    "policy": {"model": "plugin:minnow", "template": "minnow"},
    "prompts": "plugin:minnow",
    "reward": {"bonuses": ["length", "missing-stop", {"name": "length", "label": "long", "weight": 0.5}]},
    "train": {"epochs": 2, "options": {"lora": {"r": 64}, "sharing": "adapters"}},
    "reward_model": {"options": {"lora": {"r": 64}}},
}


def report_of(
    folder: Path, *overrides: str, results: Sequence[Metrics] = (), manifests: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Of a configuration that is the paper's but for the overrides."""
    config = folder / "salmon.yaml"
    config.write_text(yaml.safe_dump(PAPER))
    return build_report(load(config, overrides), results, manifests or {})


def printed(report: Mapping[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    print_report(report, console, summary_of(Path("nowhere")))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# -- deviations ------------------------------------------------------------------------------------------------------


def test_the_papers_numbers_are_no_deviations(tmp_path: Path) -> None:
    assert report_of(tmp_path)["deviations"] == list(ALWAYS)


@pytest.mark.parametrize(
    ("key", "value", "paper", "listed"),
    [
        ("limits.total", 512, 1280, ""),
        ("sample.temperature", 1.0, 0.7, ""),
        ("judge.model", "plugin:minnow", "policy", ""),
        ("judge.principles", "minnow", "salmon-rm", ""),
        ("judge.principles", "{name: minnow, only: [safe]}", "salmon-rm", "judge.principles"),
        ("label.repeats", 5, 4, ""),
        ("label.normalise", "std", "variance", ""),
        ("reward.principles", "minnow", "salmon-rl", ""),
        ("reward.show", 1, 3, ""),
        ("reward.combine", "mean", "joint", ""),
        ("reward.bonuses.1", "{name: missing-stop, penalty: 5}", 6, "reward.bonuses.missing-stop.penalty"),
        ("reward.bonuses.2.cap", 0.5, 0.8, "reward.bonuses.long.cap"),
        ("reward_model.options.learning_rate", 1e-3, 3e-5, ""),
        ("reward_model.options.lora.r", 8, 64, ""),
        ("train.epochs", 1, 2, ""),
        ("train.options.kl_coef", 0.2, 0.01, ""),
        ("train.options.lora.alpha", 32, 16, ""),
    ],
)
def test_another_number_is_one(key: str, value: Any, paper: Any, listed: str, tmp_path: Path) -> None:
    """Each by its key, wherever the option comes from, with both values and in words."""
    found = report_of(tmp_path, f"{key}={value}")["deviations"]
    assert [item for item in found if item in ALWAYS] == list(ALWAYS)
    (own,) = (item for item in found if item not in ALWAYS)
    assert own["key"] == (listed or key)
    assert own["paper"] == paper
    assert own["here"] != paper
    assert own["what"]
    json.dumps(own)


def test_other_choices_say_what_they_are(tmp_path: Path) -> None:
    report = report_of(tmp_path, "train.algorithm=grpo", "train.options={}", "judge.principles={name: minnow}")
    here = {item.get("key"): item["here"] for item in report["deviations"]}
    assert here["train.algorithm"] == "grpo"
    assert here["judge.principles"] == "minnow"


# -- results ---------------------------------------------------------------------------------------------------------

RESULTS = (
    Metrics("first", {"score": 0.5, "nested": {"x": 1}}, targets=(Target("brief", 0.25, 0.75, (0.4, 0.6), "more"),)),
    Metrics(
        "second",
        {"note": "a text"},
        targets=(Target("polite [/b]", 0.5, 0.25, (-0.3, -0.2), touched_by="manners"),),
        reward_model=RewardModelAccuracy(
            Estimate(0.875, 0.8, 0.9, 160),
            None,
            {"joint": {"1": Estimate(1.0, 0.34, 1.0, 2), "2": Estimate(0.5, 0.4, 0.6, 96)}},
        ),
        sections=(Section("longest [/i] answers", ("who", "words"), (("policy", 12), ("nobody", None)), "cut at 20"),),
    ),
    Metrics("third", reward_model=RewardModelAccuracy(Estimate(0.1, 0.0, 0.2, 99), None)),
)


def test_results_stand_where_they_belong(tmp_path: Path) -> None:
    report = report_of(tmp_path, results=RESULTS)
    assert report["evaluators"] == {"first": dict(RESULTS[0].values), "second": {"note": "a text"}, "third": {}}
    brief, polite = report["targets"]
    assert brief | {"name": "brief", "before": 0.25, "after": 0.75, "change": 0.5, "ci": (0.4, 0.6)} == brief
    assert polite["touched_by"] == "manners"
    assert report["rm"]["positive"] == {"value": 0.875, "low": 0.8, "high": 0.9, "n": 160}
    assert report["rm"]["negated"] is None
    assert {size: own["value"] for size, own in report["rm"]["sets"]["joint"].items()} == {"1": 1.0, "2": 0.5}
    (section,) = report["sections"]
    assert section["rows"] == (("policy", 12), ("nobody", None))
    json.dumps(report, allow_nan=False)


def test_two_results_of_one_name_are_both_kept(tmp_path: Path) -> None:
    same = [Metrics("same", {"x": number}) for number in range(3)]
    evaluators = report_of(tmp_path, results=[*same, Metrics("same-2", {"x": 3})])["evaluators"]
    assert {name: values["x"] for name, values in evaluators.items()} == {
        "same": 0, "same-2": 1, "same-3": 2, "same-2-2": 3,
    }  # fmt: skip


def test_a_report_without_evaluators(tmp_path: Path) -> None:
    report = report_of(tmp_path)
    assert (report["targets"], report["rm"], report["evaluators"], report["sections"]) == ([], {}, {}, [])
    assert printed(report).startswith("\npaper  ppo, seed 0, rewarded: ")


def test_expectations(tmp_path: Path) -> None:
    expect = [
        {"metric": "targets.brief.change", "min": 0.4},
        {"metric": "targets.0.ci.1", "max": 0.5},
        {"metric": "rm.sets.joint.2", "min": 0.5, "max": 0.5},
        {"metric": "evaluators.first.nested.x", "min": 2},
        {"metric": "sections.0.rows.0.1", "min": 12},
        {"metric": "evaluators.second.note", "min": 0},
        {"metric": "rm.negated", "max": 1},
        {"metric": "gone.and.gone", "max": 1},
    ]
    report = report_of(tmp_path, f"expect={json.dumps(expect)}", results=RESULTS)
    assert [item["holds"] for item in report["expect"]] == [True, False, True, False, True, False, False, False]
    assert [item["value"] for item in report["expect"]] == [0.5, 0.6, 0.5, 1, 12, None, None, None]


@pytest.mark.parametrize("path", ["a.b", "list.2", "list.x", "a.0", "", "text.0"])
def test_a_path_that_leads_nowhere(path: str) -> None:
    assert lookup({"a": 1, "list": [1, {"name": "y"}], "text": "abc"}, path) is None


# -- printed -----------------------------------------------------------------------------------------------------------


def test_everything_is_printed_as_it_is_written(tmp_path: Path) -> None:
    manifests = {"train-rm": {"seconds": 3.0}, "prompts": {"seconds": 1.5, "metrics": {"prompts": 9}}}
    text = printed(report_of(tmp_path, results=RESULTS, manifests=manifests))
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if "│" in line}
    assert {"brief", "polite [/b]", "policy", "nobody"} <= set(rows)
    for cell in ("0.250", "0.750", "+0.500", "+0.400 .. +0.600", "none"):
        assert cell in rows["brief"]
    assert "manners" in rows["polite [/b]"]
    assert "12" in rows["policy"]
    assert "None" not in rows["nobody"]
    for cell in ("0.875", "0.800 .. 0.900", "160"):
        assert cell in rows["positive"]
    for cell in ("too few (1.000)", "0.340 .. 1.000", "2"):
        assert cell in rows["1 at once, joint"]
    for line in (
        "longest [/i] answers",
        "cut at 20",
        "first: score 0.5",
        "4 s in all (prompts 2, train-rm 3)",
    ):
        assert line in text
    assert "negated" not in text
    assert "second:" not in text  # no number of its own


def test_the_command_prints_what_the_run_printed(finished: Finished) -> None:
    done = salmon("report", "runs/toy", cwd=finished.folder, env=environment())
    assert done.code == 0, done.text
    assert done.out.strip() in finished.printed
    assert "reward model, held-out accuracy" in done.out
    as_json = salmon("report", "runs/toy", "--json", cwd=finished.folder, env=environment())
    said = json.loads(as_json.out)
    assert said.pop("verdict")["word"]["text"]
    assert said == finished.report


def test_core_prints_no_evaluator_by_name() -> None:
    """Nor does any other module of the core name one."""
    import salmon_core

    root = Path(salmon_core.__file__).parent
    names = ("rm-accuracy", "reward-shift", "minnow-oracle", "plugin:minnow")
    assert [(file.name, name) for file in root.rglob("*.py") for name in names if name in file.read_text()] == []
