"""What each principle gave: alone, by leaving it out, and where it is a hard rule; in every door the same."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from core_world import Cli, document, make_folder
from test_core_reward import COMPLETIONS, reward_of

from salmon_core import Rollout
from salmon_core.data.rollouts import RolloutLog, read_rollout_rows
from salmon_core.records import RewardBreakdown, ShownPrinciple
from salmon_core.testing import make_rollout

SHORT = ShownPrinciple("short", "The answer is short.")
KIND = ShownPrinciple("kind", "The answer is harsh.", negated=True)
OWN = ShownPrinciple("own", "The answer names a sea.", weight=5.0)


def rollouts(*principles: ShownPrinciple) -> list[Rollout]:
    return [make_rollout("Why?", text, principles=principles) for text in COMPLETIONS]


def alone(folder: Path, principle: ShownPrinciple) -> list[float]:
    return [each.raw["rm"] for each in reward_of(folder)(rollouts(principle))]


def test_a_mean_keeps_what_it_is_made_of(tmp_path: Path) -> None:
    found = reward_of(tmp_path, combine="mean", bonuses=[])(rollouts(SHORT, KIND, OWN))
    shares = {"short": 2 / 8, "not kind": 1 / 8, "own": 5 / 8}  # the set's weights, and the one that it brings
    each = {"short": alone(tmp_path, SHORT), "not kind": alone(tmp_path, KIND), "own": alone(tmp_path, OWN)}
    for place, breakdown in enumerate(found):
        assert breakdown.by_principle == pytest.approx({name: values[place] for name, values in each.items()}, abs=1e-6)
        assert breakdown.shares == pytest.approx(shares)
        total = sum(breakdown.shares[name] * value for name, value in breakdown.by_principle.items())
        assert total == pytest.approx(breakdown.total, abs=1e-6)
    assert reward_of(tmp_path, combine="mean")(rollouts())[0].by_principle == {}


def test_a_joint_text_is_explained_where_it_is_asked_for(tmp_path: Path) -> None:
    reward = reward_of(tmp_path)
    plain, told = reward(rollouts(SHORT, KIND)), reward(rollouts(SHORT, KIND), explain=[1, 3])
    assert [bool(each.left_out) for each in told] == [False, True, False, True]
    without = {"short": alone(tmp_path, KIND), "not kind": alone(tmp_path, SHORT)}
    for place, (one, two) in enumerate(zip(plain, told, strict=True)):
        assert one.total == two.total
        assert (one.left_out, one.by_principle, one.shares) == ({}, {}, {})
        if two.left_out:
            expected = {name: one.raw["rm"] - values[place] for name, values in without.items()}
            assert two.left_out == pytest.approx(expected, abs=1e-6)
    (only,) = reward([rollouts(SHORT)[0]], explain=[0])
    (none,) = reward([rollouts()[0]])
    assert only.left_out == pytest.approx({"short": only.raw["rm"] - none.raw["rm"]}, abs=1e-6)
    assert reward([rollouts()[0]], explain=[0])[0].left_out == {}


def test_nobody_asks_so_nothing_more_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts that the reward model reads are those that it read before there was anything to explain."""
    reward = reward_of(tmp_path, veto={"below": 0, "floor": -9})
    scorer: Any = reward._scorer
    counts: list[int] = []
    score = scorer.score
    monkeypatch.setattr(
        scorer, "score", lambda requests: counts.extend(len(r.suffixes) for r in requests) or score(requests)
    )
    reward(rollouts(SHORT, KIND))
    assert counts == [1] * 4
    counts.clear()
    reward(rollouts(SHORT, KIND), explain=[0])
    assert counts == [3, 1, 1, 1]


@pytest.mark.parametrize("combine", ["joint", "mean"])
def test_a_broken_hard_rule_leaves_the_floor(tmp_path: Path, combine: str) -> None:
    values = sorted(alone(tmp_path, SHORT))
    below = (values[1] + values[2]) / 2
    rule = ShownPrinciple("short", "The answer is short.", veto=True)
    reward = reward_of(tmp_path, combine=combine, veto={"below": below, "floor": -7.5})
    assert reward.names == ("rm", "letters", "veto")
    plain = reward_of(tmp_path, combine=combine)(rollouts(rule, KIND))
    for breakdown, other, score in zip(reward(rollouts(rule, KIND)), plain, alone(tmp_path, SHORT), strict=True):
        broken = score < below
        assert breakdown.vetoed == (("short",) if broken else ())
        assert breakdown.total == pytest.approx(-7.5 if broken else other.total, abs=1e-6)
        assert breakdown.total == pytest.approx(sum(breakdown.components.values()))
        assert breakdown.raw["veto"] == float(broken)
        assert breakdown.by_principle["short"] == pytest.approx(score, abs=1e-6)
    assert reward(rollouts(SHORT))[0].vetoed == ()


def test_a_hard_rule_needs_a_floor_and_is_never_drawn_away(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path, reward={**document()["reward"], "show": 1, "principles": "hard.yaml"})
    (tmp_path / "hard.yaml").write_text(
        "principles:\n  - {name: hard, text: The answer is no lie., veto: true}\n"
        "  - {name: short, text: The answer is short.}\n  - {name: kind, text: The answer is kind.}\n"
    )
    found = cli("check", config)
    assert found.code == 2
    assert "reward.veto: is needed: hard is a hard rule (say `below`" in found.text
    done = cli("run", config, "--set", "reward.veto={below: 0.0, floor: -3}", "--until", "train-policy")
    assert done.code == 0, done.text
    from salmon_core.data.parquet import open_table

    rows = open_table(tmp_path / "runs/toy/train-policy/rl_prompts.parquet").to_pylist()
    assert all(row["principles"][0]["name"] == "hard" and len(row["principles"]) == 2 for row in rows)
    assert {p["veto"] for row in rows for p in row["principles"]} == {True, False}


def test_score_and_files_tell_the_same(tmp_path: Path, cli: Cli) -> None:
    section = {**document()["reward"], "combine": "mean", "show": 2}
    config = make_folder(tmp_path, reward=section)
    assert cli("run", config, "--until", "train-rm").code == 0
    file = tmp_path / "said.jsonl"
    principles = ["short", "not kind", {"text": "The answer names a sea."}, "The answer ends well."]
    file.write_text(json.dumps({"prompt": "Why?", "completion": "A bee sees.", "principles": principles}) + "\n")
    found = cli("score", tmp_path / "runs/toy", file)
    assert found.code == 0, found.text
    scored = json.loads(found.out)
    names = list(scored["by_principle"])
    assert names[:2] == ["short", "not kind"]
    assert names[2].startswith("the-answer-names-a-sea-")
    assert names[3].startswith("the-answer-ends-well-")
    total = sum(scored["shares"][name] * value for name, value in scored["by_principle"].items())
    assert total == pytest.approx(scored["raw"]["rm"], abs=1e-6)
    file.write_text(json.dumps({"prompt": "Why?", "completion": "A bee sees.", "principles": ["vivid"]}) + "\n")
    refused = cli("score", tmp_path / "runs/toy", file)
    assert refused.code == 1
    assert (
        "column principles: there is no principle 'vivid' (known are short, not short, kind, not kind" in refused.text
    )
    joint = cli("score", tmp_path / "runs/toy", file.with_name("joint.jsonl"))
    assert joint.code == 1  # no such file


def test_every_so_many_of_the_written_rollouts_are_explained(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path, every=2)
    rows = list(range(8))
    places = {index: log.explained(index, rows, 4) for index in range(6)}
    assert places == {0: [0, 4], 1: [], 2: [3, 7], 3: [], 4: [2, 6], 5: []}
    assert log.explained(2, [3, 7], 4) == [0, 1]  # another process has other rows of the batch
    assert log.explained(0, rows, 0) == []
    made = [make_rollout("Why?", text) for text in islice(COMPLETIONS, 2)]
    told = RewardBreakdown(1.0, {"rm": 1.0}, {"rm": 1.0}, by_principle={"a": 1.0}, left_out={"b": 2.0}, vetoed=("a",))
    log.add([0, 1], made, [told, RewardBreakdown(1.0, {"rm": 1.0}, {"rm": 1.0})])
    one, two = read_rollout_rows(tmp_path)
    assert (one["by_principle"], one["left_out"], one["vetoed"]) == ({"a": 1.0}, {"b": 2.0}, ["a"])
    assert (two["by_principle"], two["left_out"], two["vetoed"]) == ({}, {}, [])
