"""What monitors cost beside a training: their time for a batch, as a share of the trainer's for the same batch.

    python benchmarks/monitors.py RUN        # a finished run with RL, such as runs/minnow

The run's own rollouts are read and shown to its monitors again, or to the default ones, on one thread. They are
looked at by `salmon run`, never in the trainer's process. The trainer's time is that between the batches of the same
run, as its events have it: run both on the same machine. What writing the rollouts costs is measured by
`python benchmarks/reward_overhead.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import groupby, pairwise
from pathlib import Path
from statistics import fmean, median

from evidence.table import markdown

from salmon_core.api.monitors import ModelMonitor, RolloutBatch
from salmon_core.config.resolve import from_document
from salmon_core.data.interventions import STAGE
from salmon_core.data.parquet import read_table
from salmon_core.data.rollouts import ROLLOUTS, read_rollout_rows, rollout_files
from salmon_core.run.alarms import seen_rollout
from salmon_core.run.events import told
from salmon_core.run.monitoring import Watched
from salmon_core.run.run import Run

#: share of a step
LIMIT = 0.01


def main() -> int:
    """Prints the table; exit code 1 where all monitors together take more than a hundredth of the trainer's time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = Run.open(parser.parse_args().run, file_plugins=True)
    config = run.config
    specs = config.monitors
    if not specs:
        own = from_document({**config.config.model_dump(mode="json"), "monitors": {}}, config.base)
        specs = own.monitors
    times = [each["time"] for each in told(run.path, STAGE) if each["event"] == "RolloutsLogged"]
    gaps = [later - before for before, later in pairwise(times)]
    if len(gaps) < 2:
        sys.exit(f"{run.path}: has no batches to measure between")
    step = median(gaps)
    rows = groupby(read_rollout_rows(run.path / STAGE), key=lambda row: row["rollout_index"])
    batches = [
        RolloutBatch(index, tuple(seen_rollout(row, place) for place, row in enumerate(own))) for index, own in rows
    ]
    spent: dict[str, list[float]] = {}
    for file in rollout_files(run.path / STAGE):
        start = time.perf_counter()
        for place, row in enumerate(read_table(file, ROLLOUTS)):
            seen_rollout(row, place)
        spent.setdefault("reading the rollouts", []).append(time.perf_counter() - start)
    watched = Watched(config)
    for spec in specs:
        monitor = config.registry.build(spec)
        if isinstance(monitor, ModelMonitor):
            continue  # measures in a process of its own
        for batch in batches:
            start = time.perf_counter()
            list(monitor.see(batch, watched))
            spent.setdefault(spec.name, []).append(time.perf_counter() - start)
    total = sum(fmean(own) for own in spent.values())
    cells = [
        [name, f"{1000 * fmean(own):.2f}", f"{1000 * max(own):.2f}", f"{100 * fmean(own) / step:.3f} %"]
        for name, own in [*spent.items(), ("all", [total])]
    ]
    size = median(len(batch.rollouts) for batch in batches)
    print(f"{len(batches)} batches of {size:.0f} rollouts; the trainer took {step:.2f} s for each (median)\n")
    print("\n".join(markdown(["monitor", "ms for a batch, mean", "at most", "share of the trainer's time"], cells)))
    print(f"all together below {LIMIT:.0%}: {'holds' if total < LIMIT * step else 'FAILS'}")
    return int(total >= LIMIT * step)


if __name__ == "__main__":
    sys.exit(main())
