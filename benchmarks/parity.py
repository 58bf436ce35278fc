"""The same rollouts scored in several ways: how far apart are the rewards?

    python benchmarks/parity.py runs/minnow                 # rollouts of a finished run; of either backend

Scored are the rollouts that training wrote down, by the reward of its job: all in one batch, as a trainer does; one by
one; and through the reward server, from many clients at once, which batches whatever comes together. In float32 they
have to agree to 1e-5. In bfloat16 a text's score depends a little on what it was batched with; how much is printed,
beside the distance to float32 and the spread of the scores.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from salmon_core.api import Job
from salmon_core.data.rollouts import read_rollout_rows
from salmon_core.kit.reward_client import RewardClient
from salmon_serve.load import from_job
from salmon_serve.schemas import RowItem

CLIENTS, TOLERANCE = 16, 1e-5
Breakdowns = list[dict[str, Any]]


def read_items(stage: Path, count: int) -> list[dict[str, Any]]:
    """Rollouts as a backend asks for them, from all over the training."""
    rows = list(read_rollout_rows(stage))
    keys = ("row", "completion_ids", "stopped", "rollout_index")
    return [
        {"id": str(number), **{key: row[key] for key in keys}}
        for number, row in enumerate(rows[:: max(1, len(rows) // count)][:count])
    ]


def score(job_file: Path, items: Sequence[Mapping[str, Any]]) -> dict[str, Breakdowns]:
    """Every way's breakdowns."""
    with from_job(job_file).open() as (reward, decoder):
        rollouts = [decoder.rollout(RowItem.model_validate(item)) for item in items]
        ways = {"one batch": reward(rollouts), "one by one": [reward([each])[0] for each in rollouts]}
    found = {
        name: [
            {"total": each.total, "components": dict(each.components), "principles": list(each.principles)}
            for each in breakdowns
        ]
        for name, breakdowns in ways.items()
    }
    found["the server"] = ask_server(job_file, items)
    return found


def ask_server(job_file: Path, items: Sequence[Mapping[str, Any]]) -> Breakdowns:
    ready = job_file.parent / "ready.json"
    ready.unlink(missing_ok=True)
    with (job_file.parent / "server.log").open("wb") as log:
        argv = [sys.executable, "-m", "salmon_serve", str(job_file), "--ready-file", str(ready)]
        server = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        while not ready.exists():
            if server.poll() is not None:
                raise SystemExit((job_file.parent / "server.log").read_text())
            time.sleep(0.1)
        client = RewardClient.from_ready_file(ready)
        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(lambda item: client.score([item])[0], items))
    finally:
        server.terminate()
        server.wait()


def apart(one: Breakdowns, other: Breakdowns) -> float:
    """The largest difference of any total or component.

    Raises:
        SystemExit: other principles were shown.
    """
    largest = 0.0
    for a, b in zip(one, other, strict=True):
        if a["principles"] != b["principles"]:
            raise SystemExit(f"other principles were shown: {a['principles']} and {b['principles']}")
        pairs = [
            (a["total"], b["total"]),
            *((a["components"][name], b["components"][name]) for name in a["components"]),
        ]
        largest = max(largest, *(abs(x - y) for x, y in pairs))
    return largest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run whose policy is trained")
    parser.add_argument("--rollouts", type=int, default=500)
    args = parser.parse_args()
    stage = args.run / "train-policy"
    try:
        job = Job.from_json((stage / "job.json").read_text(encoding="utf-8"))
        items = read_items(stage, args.rollouts)
    except FileNotFoundError as error:
        parser.error(f"no finished train-policy there: {error}")
    if job.reward is None or job.reward.model is None:
        parser.error("that run has no reward model")
    if not items:
        parser.error(f"no rollouts were written to {stage / 'rollouts'}")
    right, batches = True, {}
    for dtype in ("float32", "bfloat16"):
        with tempfile.TemporaryDirectory() as folder:
            model = replace(job.reward.model, dtype=dtype)
            changed = replace(job, reward=replace(job.reward, model=model), options={})
            (Path(folder) / "job.json").write_text(changed.to_json())
            found = score(Path(folder) / "job.json", items)
        batches[dtype] = found["one batch"]
        spread = statistics.pstdev(each["total"] for each in found["one batch"])
        print(f"{dtype}: {len(items)} rollouts, standard deviation of the totals {spread:.3f}")
        for way in ("one by one", "the server"):
            distance = apart(found["one batch"], found[way])
            exact = dtype == "float32"
            right = right and (not exact or distance <= TOLERANCE)
            verdict = f"  (<= {TOLERANCE:g}: {'holds' if distance <= TOLERANCE else 'FAILS'})" if exact else ""
            print(f"  one batch and {way}: at most {distance:.1e} apart{verdict}")
    print(f"bfloat16 and float32: at most {apart(batches['float32'], batches['bfloat16']):.1e} apart")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
