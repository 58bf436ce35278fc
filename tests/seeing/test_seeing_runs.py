"""Runs read for whoever looks at them: events that grow, curves on one axis, changes, the verdict, rollouts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_core.data.parquet import write_rows
from salmon_core.data.rollouts import ROLLOUTS, read_rollout_rows
from salmon_core.seeing.changes import COMPONENTS, TARGETS, TRAINING, Change, changes
from salmon_core.seeing.comparing import compared, differing
from salmon_core.seeing.curves import BATCHES, STEPS, training_curves
from salmon_core.seeing.eventlog import EventLog
from salmon_core.seeing.rollout_index import PART, Query, RolloutIndex, histogram
from salmon_core.seeing.summary import summary, verdict


def write(run: Path, *events: dict[str, Any], torn: str = "") -> None:
    run.mkdir(exist_ok=True)
    with (run / "events.jsonl").open("a") as file:
        file.write("".join(json.dumps({"time": 1.0, **each}) + "\n" for each in events) + torn)


def step(number: int, **values: float) -> dict[str, Any]:
    return {"event": "StepLogged", "stage": "train-policy", "step": number, "values": values}


def batch(index: int) -> dict[str, Any]:
    return {"event": "RolloutsLogged", "stage": "train-policy", "rollout_index": index, "file": "x", "count": 4}


STARTED = {"event": "StageStarted", "stage": "train-policy", "resumed": False}


def test_events_are_read_on_as_they_come(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run, {"event": "RunStarted", "stages": ["train-policy"]}, STARTED, step(1, loss=2.0), torn='{"event": "Step')
    log = EventLog(run)
    assert log.training.steps == {1: {"loss": 2.0}}
    assert not log.refresh()
    write(run, torn='Logged", "stage": "train-policy", "step": 2, "values": {"loss": 1.0}}\n[1]\nnot json\n')
    assert log.refresh()
    assert log.training.steps == {1: {"loss": 2.0}, 2: {"loss": 1.0}}
    write(run, {**STARTED, "resumed": True}, step(2, kl=0.5))
    log.refresh()
    assert log.training.steps[2] == {"loss": 1.0, "kl": 0.5}
    write(run, STARTED, {"event": "StageFailed", "stage": "train-policy", "error": "no luck"})
    write(run, {"event": "RunFinished", "error": "no luck"})
    log.refresh()
    assert log.training.steps == {}
    assert (log.training.status, log.ended, log.error, log.live) == ("failed", True, "no luck", False)
    (run / "events.jsonl").write_text("")
    assert not log.refresh()
    write(run, STARTED, step(7, loss=0.0))
    log.refresh()
    assert list(log.training.steps) == [7]


def test_steps_lie_between_the_batches_that_they_are_of(tmp_path: Path) -> None:
    """Two steps a batch; each second batch is written down."""
    run = tmp_path / "run"
    write(run, STARTED, batch(0), step(1, reward=1), step(2, loss=1), step(3, reward=2), step(4, loss=1), batch(2))
    write(run, step(5, reward=3), step(6, reward=4), batch(4), step(7, reward=5))
    found = training_curves(EventLog(run), run)
    assert found.axis == BATCHES
    (reward,) = found.named(["reward"])
    assert reward.x == (0.0, 1.0, 2.0, 3.0, 4.0)
    assert reward.y == (1, 2, 3, 4, 5)
    assert found.curves[0] == reward


def test_without_rollouts_the_axis_counts_steps(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write(run, STARTED, *(step(number, loss=number / 2) for number in range(3000)))
    found = training_curves(EventLog(run), run)
    assert found.axis == STEPS
    (loss,) = found.curves
    assert 250 < len(loss.x) <= 500
    assert (loss.x[0], loss.x[-1]) == pytest.approx((2.5, 2996.5))


def target(name: str, low: float, high: float, wanted: str = "more", n: int = 40) -> dict[str, Any]:
    middle = (low + high) / 2
    return {"name": name, "before": 0.25, "after": 0.25 + middle, "ci": [low, high], "n": n, "wanted": wanted}


@pytest.mark.parametrize(
    ("low", "high", "wanted", "n", "moved"),
    [
        (0.1, 0.3, "more", 40, "as wanted"),
        (0.1, 0.3, "less", 40, "against"),
        (-0.3, -0.1, "less", 40, "as wanted"),
        (-0.1, 0.3, "more", 40, "not shown"),
        (0.1, 0.3, "more", 19, "too few"),
        (0.1, 0.3, "", 40, "up"),
    ],
)
def test_a_change_moved(low: float, high: float, wanted: str, n: int, moved: str) -> None:
    (found,) = changes({"targets": [target("x", low, high, wanted, n)]})
    assert found.moved == moved


def estimate(value: float, n: int = 40) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": n}


def test_changes_of_a_report() -> None:
    """Whatever evaluators measured twice, however deep; no target again, and nothing that is no estimate."""
    three = {"before": estimate(0.0, 80), "after": estimate(1.0, 80), "change": estimate(1.0)}
    report = {
        "targets": [target("vivid", 0.1, 0.2), {"name": "broken"}],
        "evaluators": {
            "shift": {"components": {"rm": three, "total": three}, "n": 3},
            "oracle": {"rates": {"vivid": three, "kind": three, "odd": {"before": 1, "after": 2, "change": 1}}},
        },
    }
    found = changes(report)
    assert [(each.group, each.what) for each in found] == [
        (TARGETS, "vivid"),
        (COMPONENTS, "rm"),
        (COMPONENTS, "total"),
        ("measured by oracle", "kind"),
    ]
    assert (found[1].before, found[1].after, found[1].n) == (0.0, 1.0, 40)


def answer(report: dict[str, Any], tmp_path: Path, *, watched: bool = False, training: tuple[Change, ...] = ()) -> Any:
    write(tmp_path, {"event": "RunStarted", "stages": []}, {"event": "RunFinished"})
    found = [*changes(report), *training]
    return verdict(report, found, EventLog(tmp_path), live=False, watched=watched)


def test_the_verdict_says_what_numbers_say(tmp_path: Path) -> None:
    good, bad, unclear = target("a", 0.1, 0.2), target("b", -0.3, -0.1), target("c", -0.1, 0.1)
    found = answer({"targets": [good]}, tmp_path)
    assert (found.word.state, found.word.text) == ("good", "It worked")
    assert found.worked.text == "1 of 1 targets moved as wanted"
    assert found.given_up.state == "none"
    found = answer({"targets": [good, bad, unclear]}, tmp_path)
    assert (found.word.text, found.word.state) == ("It worked in part", "unclear")
    assert "against what was wanted: b" in found.worked.text
    assert found.given_up.text.startswith("b went from 0.25 to 0.05")
    assert answer({"targets": [bad]}, tmp_path).word.text == "It did not work"
    signature = {"name": "a task gets worse", "found": "no", "numbers": [{"what": "reward, general"}]}
    assert answer({"targets": [good], "signatures": [signature]}, tmp_path).given_up.state == "good"
    alone = answer({"signatures": [signature]}, tmp_path).given_up
    assert (alone.state, "nothing but the reward" in alone.text) == ("none", True)
    assert answer({}, tmp_path).word.state == "none"
    few = answer({"targets": [target("a", 0.1, 0.2, n=5)]}, tmp_path)
    assert "too few prompts for a" in few.worked.text
    assert few.sure.state == "unclear"
    assert answer({"targets": [good]}, tmp_path, watched=True).exploited.text == "no alarm was raised"
    rose = Change("reward", TRAINING, 1.0, 2.0, 0.5, 1.5, 40)
    assert answer({}, tmp_path, training=(rose,)).word.text == "The reward rose"
    alarm = {"event": "AlarmRaised", "stage": "train-policy", "monitor": "drift", "text": "longer", "rollout_index": 3}
    write(tmp_path, alarm)
    assert answer({"targets": [good]}, tmp_path).word.text == "It worked, and the reward was exploited"
    assert answer({}, tmp_path, training=(rose,)).word.text == "The reward rose, and it was exploited"
    cured = {
        "event": "AlarmFollowed",
        "stage": "train-policy",
        "alarm": 2,
        "state": "cured",
        "text": "cured since batch 9",
    }
    write(tmp_path, {**alarm, "about": "longer", "again": 1}, cured)
    found = answer({"targets": [good]}, tmp_path).exploited
    assert (found.state, found.text) == ("bad", "drift: longer (and 1 more)"), "the other alarm goes on"
    write(tmp_path, {**cured, "alarm": 1, "state": "gone", "text": "not found any more since batch 8"})
    found = answer({"targets": [good]}, tmp_path)
    assert found.exploited.text == "drift: longer, told again; cured since batch 9 (and 1 more)"
    assert (found.exploited.state, found.word.text) == ("unclear", "It worked")


def test_a_failed_and_an_interrupted_run(tmp_path: Path) -> None:
    failed, interrupted = tmp_path / "failed", tmp_path / "interrupted"
    write(failed, {"event": "RunStarted", "stages": []}, {"event": "RunFinished", "error": "no memory"})
    write(interrupted, {"event": "RunStarted", "stages": []})
    assert summary(failed, EventLog(failed)).verdict.word.text == "It failed"
    assert summary(interrupted, EventLog(interrupted)).verdict.word.text == "It was interrupted"


ROW: dict[str, Any] = {
    "row": 0,
    "prompt_id": "p",
    "prompt": "Why?",
    "category": "general",
    "completion": "Because.",
    "completion_ids": [1],
    "n_tokens": 1,
    "stopped": True,
    "principles": [],
    "by_principle": [],
    "left_out": [],
    "vetoed": [],
    "text_ids": [],
    "step": None,
    "kl": None,
    "interventions": [],
}
KIND = {"name": "kind", "text": "Be kind.", "negated": False, "weight": None, "veto": False}
#: some of which mean something in patterns
LETTERS = "abAB ä%_.*+?|^$\\[](){}\n\0"
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "prompt_id": st.sampled_from(["p", "q"]),
            "category": st.sampled_from(["general", "reasoning"]),
            "completion": st.text(st.sampled_from(LETTERS), max_size=5),
            "n_tokens": st.integers(0, 5),
            "principles": st.sampled_from([[], [KIND], [{**KIND, "negated": True}], [{**KIND, "name": "x"}, KIND]]),
            "reward": st.integers(-3, 3).map(float),
            "components": st.sampled_from([[("rm", 1.0)], [("rm", -1.0), ("length", 0.5)]]),
        }
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=15)
@given(batches=st.lists(_ROWS, min_size=1, max_size=3), search=st.text(st.sampled_from(LETTERS), max_size=2))
def test_the_index_finds_what_reading_all_rows_finds(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[dict[str, Any]]], search: str
) -> None:
    stage = tmp_path_factory.mktemp("stage")
    for index, rows in enumerate(batches):
        own = [{**ROW, **row, "rollout_index": index} for row in rows]
        half = len(own) // 2  # of two processes
        for writer, part in enumerate((own[:half], own[half:])):
            write_rows(stage / "rollouts" / f"part-{index:06d}-{writer}.parquet", part, ROLLOUTS)
    index_of = RolloutIndex(stage)
    flags = [(0, 0), (len(batches) - 1, 1), (99, 0)]
    index_of.refresh(flags)
    plain, places = [], dict[int, int]()
    for row in read_rollout_rows(stage):
        place = places[row["rollout_index"]] = places.get(row["rollout_index"], -1) + 1
        plain.append({**row, "place": place})

    def names(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
        return [(row["rollout_index"], row["place"]) for row in rows]

    assert index_of.table.num_rows == len(plain)
    everything = Query("reward", size=1000)
    found = index_of.find(everything)
    assert names(found.rows) == names(sorted(plain, key=lambda row: -row["reward"]))
    assert sum(count for *_, count in found.bins) == len(plain)
    searched = index_of.find(replace(everything, search=search))
    wanted = [row for row in plain if search.lower() in f"{row['prompt']}\n{row['completion']}".lower()]
    assert names(searched.rows) == names(sorted(wanted, key=lambda row: -row["reward"]))
    for way in (True, False):  # the second of the same order is not sorted again
        asked = replace(everything, search=search, low=0.0, category="general", descending=way)
        both = [row for row in wanted if row["reward"] >= 0 and row["category"] == "general"]
        both.sort(key=lambda row: -row["reward"] if way else row["reward"])
        assert names(index_of.find(asked).rows) == names(both)
    shown = index_of.find(replace(everything, principle="kind"))
    kind = [row for row in plain if any(p["name"] == "kind" and not p["negated"] for p in row["principles"])]
    assert sorted(names(shown.rows)) == sorted(names(kind))
    flagged = index_of.find(replace(everything, flagged=True))
    assert set(names(flagged.rows)) == set(flags) & set(names(plain))
    by = index_of.find(Query(f"{PART}length", descending=False, size=1000)).rows
    values = [row["components"].get("length") for row in by]
    assert values == sorted(values, key=lambda value: (value is None, value))
    first = {
        id: min(r["rollout_index"] for r in plain if r["prompt_id"] == id) for id in {r["prompt_id"] for r in plain}
    }
    for row in found.rows:
        begin = [
            r["reward"]
            for r in plain
            if (r["prompt_id"], r["rollout_index"]) == (row["prompt_id"], first[row["prompt_id"]])
        ]
        change = None if row["rollout_index"] == first[row["prompt_id"]] else row["reward"] - sum(begin) / len(begin)
        assert row["change"] == (None if change is None else pytest.approx(change))
    pages = [index_of.find(replace(everything, start=start, size=3)).rows for start in range(0, len(plain), 3)]
    assert names([row for page in pages for row in page]) == names(found.rows)


def test_the_index_reads_on_and_passes_over_what_it_cannot_read(tmp_path: Path) -> None:
    index = RolloutIndex(tmp_path)
    assert not index.refresh()
    assert index.find(Query()).rows == []
    row = {**ROW, "rollout_index": 0, "reward": 1.0, "components": [("rm", 1.0)]}
    write_rows(tmp_path / "rollouts" / "part-000000-0.parquet", [row], ROLLOUTS)
    assert index.refresh()
    assert not index.refresh()
    write_rows(tmp_path / "rollouts" / "part-000000-0.parquet", [row, row], ROLLOUTS)  # a batch that grows
    (tmp_path / "rollouts" / "part-000001-0.parquet").write_bytes(b"PAR1 torn")
    assert index.refresh()
    assert index.table.num_rows == 2
    assert "part-000001-0.parquet" in index.wrong[0]


def test_a_histogram_counts_what_is_finite() -> None:
    import pyarrow as pa

    assert histogram(pa.array([], pa.float64())) == ()
    assert histogram(pa.array([2.0, 2.0, float("nan"), None])) == ((2.0, 2.0, 2),)
    found = histogram(pa.array([0.0, 1.0, 10.0]), 10)
    assert [count for *_, count in found] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]


def test_runs_compared(tmp_path: Path) -> None:
    write(tmp_path, {"event": "RunStarted", "stages": []}, {"event": "RunFinished"})
    base = summary(tmp_path, EventLog(tmp_path))
    one = replace(base, changes=tuple(changes({"targets": [target("a", 0.1, 0.3), target("b", 0.0, 0.2, n=5)]})))
    other = replace(base, changes=tuple(changes({"targets": [target("a", 0.5, 0.7), target("b", 0.1, 0.3)]})))
    a, b, *rest = compared([one, other])
    assert not rest
    ((value, low, high),) = a.apart
    assert (value, high - low) == pytest.approx((0.4, 0.2 * 2**0.5))
    assert b.apart == (None,)
    found = differing([{"run": {"name": "x", "seed": 1}, "a": {"b": [1]}}, {"run": {"name": "y", "seed": 2}, "a": {}}])
    assert [(each.key, each.values) for each in found] == [
        ("run.seed", (1, 2)),
        ("a.b", ([1], None)),
        ("a", (None, {})),
    ]
