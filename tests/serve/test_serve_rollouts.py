"""The server of a job writes its rollouts, in the format that every backend leaves."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from core_world import SALMON
from serve_world import Server, by_row, free, make_bytes_job, row_of

from salmon_core.data.principle_means import PrincipleSums, principle_means
from salmon_core.data.rollouts import RolloutLog, read_rollout_rows, rollout_files
from salmon_core.records import RewardBreakdown, Rollout
from salmon_serve.rollouts import RolloutWriter

EVERY = 3


def service(job: Path, folder: Path, *options: str) -> Server:
    """As a backend names it in its plan."""
    return Server([sys.executable, "-m", "salmon_serve", str(job), *options], folder)


def completion(number: int, rollout_index: int, text: str) -> dict[str, Any]:
    ids = [*text.encode(), 257]
    return {
        "id": f"{rollout_index}-{number}-{text}",
        "row": number,
        "completion_ids": ids,
        "stopped": True,
        "rollout_index": rollout_index,
    }


def wait_for(folder: Path, rows: int, seconds: float = 15) -> list[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while len(found := list(read_rollout_rows(folder))) < rows:
        assert time.monotonic() < deadline, f"{len(found)} of {rows} rollouts were written"
        time.sleep(0.1)
    return found


def test_what_the_trainer_asked_is_written(tiny_job: Path, tmp_path: Path) -> None:
    """Every third batch, each rollout once, with the principles and the reward it was answered."""
    job = tmp_path / "stage" / "job.json"
    job.parent.mkdir()
    job.write_text(tiny_job.read_text())
    rng = random.Random(0)
    items = [{"id": str(i), **by_row(i, rng=rng, top=200, eos=1)} for i in range(48)]
    with service(job, tmp_path / "server", "--raw") as server:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda item: server.score([item]).json["rewards"][0], items))
        server.score(items[:6])  # a retry
        server.score([free("by nobody's row", principles=[])])
        prompt = row_of(0)["prompt"]
        assert server.raw(f"{prompt} yes</s>", prompt, 0).status == 200  # has a row, but no rollout index
        logged = [item for item in items if item["rollout_index"] % EVERY == 0]
        assert 0 < len(logged) < len(items)
        wait_for(job.parent, len(logged))
    rows = list(read_rollout_rows(job.parent))
    assert [file.name for file in rollout_files(job.parent)] == ["part-000000-0.parquet", "part-000003-0.parquet"]
    by_id = {item["id"]: (item, answer) for item, answer in zip(items, answers, strict=True)}
    left = dict(by_id)
    for row in rows:
        ((name, (item, answer)),) = [
            (name, (item, answer))
            for name, (item, answer) in left.items()
            if (item["row"], item["completion_ids"], item["rollout_index"])
            == (row["row"], row["completion_ids"], row["rollout_index"])
        ]
        del left[name]
        assert row["stopped"] == item["stopped"]
        assert row["n_tokens"] == len(item["completion_ids"]) - item["stopped"]
        assert row["reward"] == pytest.approx(answer["total"], abs=1e-6)
        assert row["components"] == pytest.approx(answer["components"], abs=1e-6)
        shown = [f"not {each['name']}" if each["negated"] else each["name"] for each in row["principles"]]
        assert shown == answer["principles"]
        assert ("no shouting" in shown) == (item["rollout_index"] >= 3)  # the intervention is among them
    assert all(item["rollout_index"] % EVERY for item, _ in left.values())


@pytest.mark.parametrize(
    ("option", "override", "written"),
    [(2, None, [0, 2]), (2, 1, [0, 1, 2]), (2, 0, []), (0, None, []), (0, 2, [0, 2])],
    ids=["the job's", "more", "none", "none by the job", "by override"],
)
def test_how_many_are_written(
    option: int, override: int | None, written: Sequence[int], bytes_world: Path, tmp_path: Path
) -> None:
    job = make_bytes_job(tmp_path / "stage", bytes_world, log_rollouts_every=option)
    options = [] if override is None else ["--log-rollouts", str(override)]
    with service(job, tmp_path / "server", *options) as server:
        for index in range(3):
            assert server.score([completion(number, index, "oo") for number in range(4)]).status == 200
    # What was scored last is written before the server ends.
    assert [row["rollout_index"] for row in read_rollout_rows(job.parent)] == [i for i in written for _ in range(4)]


@pytest.mark.parametrize(("options", "written"), [([], 0), (["--log-rollouts", "1"], 1)], ids=["plain", "asked to"])
def test_a_job_served_by_hand_keeps_its_rollouts(
    options: list[str], written: int, bytes_world: Path, tmp_path: Path
) -> None:
    """The job may be long done; what is asked of its reward afterwards must not replace what it left."""
    job = make_bytes_job(tmp_path / "stage", bytes_world, log_rollouts_every=1)
    with Server([str(SALMON), "serve", "--job", str(job), *options], tmp_path / "server") as server:
        assert server.score([completion(0, 0, "oo")]).totals == [0.5]
    assert len(rollout_files(job.parent)) == written


def test_rollouts_that_cannot_be_written_end_it(bytes_world: Path, tmp_path: Path) -> None:
    """As a full disk would: the training ends and says so, rather than go on without them."""
    job = make_bytes_job(tmp_path / "stage", bytes_world, log_rollouts_every=1)
    (job.parent / "rollouts").write_text("in the way")
    with service(job, tmp_path / "server") as server:
        assert server.score([completion(0, 0, "oo")]).status == 200
        deadline = time.monotonic() + 15
        while server.ask("GET", "/health", token=None).json["status"] == "ok":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        answer = server.score([completion(1, 0, "oo")])
        assert answer.status == 500
        assert (answer.error["component"], answer.error["owner"]) == ("rollouts", "salmon-serve")
        assert "in the way" not in answer.error["message"]


def test_many_small_batches_are_one_file(tmp_path: Path) -> None:
    """Written once, not anew for each; batches that are not logged are not kept either."""
    writer = RolloutWriter(RolloutLog(tmp_path, every=2), PrincipleSums(tmp_path))
    breakdown = RewardBreakdown(1.0, {"rm": 1.0}, {"rm": 1.0})

    def scored(number: int, index: int) -> tuple[int, Rollout, RewardBreakdown]:
        row = row_of(number)
        return number, Rollout.from_row(row, "a", completion_ids=[97], stopped=False, rollout_index=index), breakdown

    writer.add([scored(0, 1), scored(1, 3)])
    assert not writer.pending
    for number in range(100):
        writer.add([scored(number, 4)])
    assert writer.pending
    assert rollout_files(tmp_path) == []
    writer.write()
    assert not writer.pending
    assert [row["row"] for row in read_rollout_rows(tmp_path)] == list(range(100))
    writer.add([scored(100, 4), scored(101, 6)])
    writer.write()
    assert [row["row"] for row in read_rollout_rows(tmp_path)] == list(range(102))


def test_what_principles_gave_is_added_up_of_every_batch(tmp_path: Path) -> None:
    """Of those that are not logged too, by the names that a batch has."""
    writer = RolloutWriter(RolloutLog(tmp_path, every=2), PrincipleSums(tmp_path))

    def scored(number: int, index: int, **said: float) -> tuple[int, Rollout, RewardBreakdown]:
        rollout = Rollout.from_row(row_of(number), "a", completion_ids=[97], stopped=False, rollout_index=index)
        return number, rollout, RewardBreakdown(1.0, {"rm": 1.0}, {"rm": 1.0}, by_principle=said)

    writer.add([scored(0, 1, kind=1.0), scored(1, 1, kind=2.0, own=-4.0), scored(2, 1)])
    assert writer.pending
    writer.write()
    assert not writer.pending
    assert not rollout_files(tmp_path)
    writer.add([scored(3, 1, own=-2.0)])  # the rest of the batch comes later
    writer.write()
    assert principle_means(tmp_path, 1) == {"kind": 1.5, "own": -3.0}
    anew = RolloutWriter(RolloutLog(tmp_path, every=2), PrincipleSums(tmp_path))  # a resumed run generates it again
    anew.add([scored(0, 1, kind=5.0)])
    anew.write()
    assert principle_means(tmp_path, 1) == {"kind": 5.0}
    assert principle_means(tmp_path, 0) == {}
