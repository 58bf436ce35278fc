"""The checklist of failure signatures: by numbers that are there, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from evaluated import Finished

from salmon_core.api import Principle
from salmon_core.stages.signatures import Signature, signatures

KIND = Principle("kind", "The answer is kind.")
CALM = Principle("calm", "The answer is calm.", categories={"support": 3})


def estimate(value: float, half: float = 0.05, n: int = 40) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def target(name: str, before: float, after: float, half: float, wanted: str, n: int = 40) -> dict[str, Any]:
    ci = [after - before - half, after - before + half]
    return {"name": name, "before": before, "after": after, "ci": ci, "wanted": wanted, "n": n, "touched_by": ""}


def rollouts(rises: dict[str, float], batches: int = 8, start: int | None = None) -> Iterator[dict[str, Any]]:
    """Rewards that rise by category over the training, by noise around; a bonus that falls to 0 at `start`."""
    rng = Random(4)
    for index in range(batches):
        for number in range(30):
            for category, rise in rises.items():
                praise = 1.0 if start is not None and index < start else 0.0
                reward = rise * index / batches + rng.gauss(0, 0.2)
                yield {
                    "rollout_index": index,
                    "prompt_id": f"{category}-{number}",
                    "category": category,
                    "reward": reward,
                    "components": {"rm": reward, "praise": praise},
                }


def by_name(found: tuple[Signature, ...]) -> tuple[Signature, Signature, Signature]:
    inconsistent, exploited, degraded = found
    return inconsistent, exploited, degraded


def test_of_nothing_nothing_is_said() -> None:
    for report in ({}, {"rm": {}, "targets": [], "evaluators": {"x": {"categories": 3}}, "stages": {}}):
        assert [each.found for each in signatures(report)] == ["not measured"] * 3


def test_too_few_are_nothing() -> None:
    report = {"rm": {"positive": estimate(0.2, n=8)}, "targets": [target("kind", 0.5, 0.1, 0.1, "more", n=8)]}
    assert [each.found for each in signatures(report, rollouts({"a": 1.0}, batches=1))] == ["not measured"] * 3


@pytest.mark.parametrize(
    ("positive", "negated", "found"),
    [(0.95, 0.9, "no"), (0.95, 0.52, "yes"), (0.4, 0.9, "yes"), (0.65, 0.9, "unclear"), (0.9, None, "no")],
)
def test_a_reward_model_that_does_not_follow(positive: float, negated: float | None, found: str) -> None:
    report = {
        "rm": {"positive": estimate(positive), "negated": None if negated is None else estimate(negated), "sets": {}},
        "stages": {
            "label": {
                "metrics": {
                    "rows": 300,
                    "principles": {"kind": {"decided": 20, "negated": 0}, "calm": {"decided": 280, "negated": 90}},
                }
            }
        },
        "judge": {"principles": {"kind": {"verdict": "unclear"}, "calm": {"verdict": "good"}}},
    }
    said, _, _ = by_name(signatures(report))
    assert said.found == found
    if found == "no":
        assert not said.remedy
    else:
        for part in ("300 rows", "20, are decided by kind", "never negated: kind", "cannot be believed by kind"):
            assert part in said.remedy


def test_a_policy_that_exploits() -> None:
    against = [target("kind", 0.6, 0.2, 0.1, "more"), target("words", 20, 30, 2, "less")]
    along = [target("kind", 0.2, 0.6, 0.1, "more")]
    flat = [target("kind", 0.5, 0.52, 0.1, "more")]
    for targets, rise, found in (
        (against, 2.0, "yes"),
        (along, 2.0, "no"),
        (flat, 2.0, "unclear"),
        (against, 0.0, "unclear"),
        ([], 2.0, "not measured"),
    ):
        _, said, _ = by_name(signatures({"targets": targets}, rollouts({"a": rise})))
        assert said.found == found
    _, said, _ = by_name(signatures({"targets": against}))
    assert said.found == "not measured"
    _, said, _ = by_name(signatures({"targets": against}, rollouts({"a": 2.0})))
    assert "kind, words" in said.remedy
    assert "there was none" in said.remedy


def test_interventions_are_told_with_their_effect() -> None:
    report = {"targets": [target("kind", 0.6, 0.2, 0.1, "more")]}
    own = [("no-praise", 4), ("always", 0)]
    _, said, _ = by_name(signatures(report, rollouts({"a": 2.0}, start=4), interventions=own))
    (praise,) = [each for each in said.numbers if each.what == "praise around no-praise (from 4)"]
    assert (praise.before, praise.after) == (1.0, 0.0)
    assert praise.high < 0
    assert "always from 0: effect not measured" in said.remedy


def test_a_task_that_gets_worse_names_the_missing_principle() -> None:
    both = (KIND, CALM)
    found = signatures({}, rollouts({"general": 2.0, "support": -2.0}), judged=both, shown=["kind"])
    said = found[2]
    assert said.found == "yes"
    assert "not shown: calm" in said.remedy
    assert said.remedy.startswith("reward, support: show")
    assert said.numbers[0].what == "reward, support", "what falls comes first"
    assert signatures({}, rollouts({"general": 2.0, "support": 1.0}), judged=both)[2].found == "no"
    values = {"categories": {"support": {"before": estimate(0.9), "after": estimate(0.5), "change": estimate(-0.4)}}}
    said = signatures({"evaluators": {"mine": values}}, judged=both, shown=["kind"])[2]
    assert said.found == "yes"
    assert str(said.numbers[0]) == "support (mine) 0.90 -> 0.50 [-0.45, -0.35]"


def test_a_run_s_report_has_the_checklist(finished: Finished) -> None:
    found = json.loads((finished.run / "report.json").read_text())["signatures"]
    assert len(found) == 3
    assert all(each["found"] in ("yes", "no", "unclear", "not measured") for each in found)
    assert "failure signature" in finished.printed


def test_alarms_are_told_with_what_was_tried() -> None:
    """Without targets an alarm that goes on leaves it unclear; one that is cured names the cure and its effect."""
    effect = {"before": 0.8, "after": 0.1, "low": -0.8, "high": -0.6, "n": 40}
    nothing = {"before": 0.8, "after": 0.8, "low": -0.1, "high": 0.1, "n": 40}
    useless = {"id": 1, "from_rollout": 5, "words": "shows a", "who": "monitor m", **nothing}
    cure = {"id": 2, "from_rollout": 12, "words": "shows b", "who": "monitor m", **effect}
    first = {"monitor": "m", "about": "praise", "rollout_index": 3, "again": 0, "tried": []}
    again = {**first, "rollout_index": 9, "again": 1, "tried": [useless]}
    said = signatures({}, rollouts({"a": 2.0}), alarms=[first, again])[1]
    assert said.found == "unclear"
    assert (
        "alarm m: praise, batch 3, told again at 9; intervention 1 from batch 5 (shows a): 0.80 -> 0.80" in said.remedy
    )
    cured = {**again, "followed": {"state": "cured", "text": "cured since batch 14", "tried": [useless, cure]}}
    said = signatures({}, rollouts({"a": 2.0}), alarms=[first, cured])[1]
    assert said.found == "not measured"
    assert said.remedy.endswith(
        "intervention 2 from batch 12 (shows b): 0.80 -> 0.10 [-0.80, -0.60]; cured since batch 14"
    )
    (number,) = [each for each in said.numbers if each.what == "praise (m) around intervention 2 (from 12)"]
    assert (number.before, number.after, number.high) == (0.8, 0.1, -0.6)
    along = {"targets": [target("kind", 0.2, 0.6, 0.1, "more")]}
    assert signatures(along, rollouts({"a": 2.0}), alarms=[first])[1].found == "unclear"
    assert "no intervention answered it" in signatures(along, rollouts({"a": 2.0}), alarms=[first])[1].remedy
    assert signatures(along, rollouts({"a": 2.0}), alarms=[first, cured])[1].found == "no"
