"""Preference-model pre-training on the embedded world: what it adds to few, and to all, judged rows.

    python benchmarks/pretrain_rm.py                    # three seeds
    python benchmarks/pretrain_rm.py --seeds 1

For each seed the policy's pairs are judged once, as in the quickstart, and make half as many rows. Then four reward
models, all with the same options and judged by `rm-accuracy` on held-out prompts:

    quarter, alone       on the rows of every fourth judged pair
    quarter, first PMP   the same, after `reward_model.pretrain`
    all, alone           on all rows
    all, first PMP       the same, after `reward_model.pretrain`

What they are pre-trained on names no principle: pairs of answers to prompts that are not held out, spoken by the
world's grammar, the better one by how good an answer is as a whole. The oracle says that, as people do for real data;
so the comparison is of data as well as of a stage. Results are kept, and a second call makes what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
from evidence.intervals import Interval  # noqa: E402

from salmon_core.data import parquet  # noqa: E402
from salmon_minnow.general import write_preferences  # noqa: E402

CONFIG = ROOT / "examples" / "minnow.yaml"
PRETRAINED = 2000
EVALUATE = ["evaluate=[{name: rm-accuracy, truth: minnow, samples: 8}]", "expect=[]", "train.algorithm=none"]
OPTIONS = (
    "{learning_rate: 1.5e-3, total_batch_size: 16, per_device_train_batch_size: 16, max_length: 256, save_steps: 100}"
)
SIZES, WAYS = ("quarter", "all"), ("alone", "first PMP")
#: half of the quickstart's, to be done in minutes
REPEATS = "label.repeats=13"
ROWS = "rows"


def run(name: str, overrides: list[str], folder: Path) -> dict[str, Any]:
    """A run of the real command; its report."""
    command = [sys.executable, "-m", "salmon_core", "run", str(CONFIG), "--quick"]
    for override in (f"run.folder={folder}", f"run.name={name}", *overrides):
        command += ["--set", override]
    print(f"{name} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    report = folder / name / "report.json"
    if done.returncode not in (0, 1) or not report.exists():
        raise SystemExit(f"{name} failed:\n{done.stdout}\n{done.stderr}")
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def interval(values: list[float]) -> str:
    """Mean and 95 % interval over seeds; of one seed no interval."""
    return Interval.of(dict(enumerate(values))).text(signed=True, digits=3)


def some_rows(source: Path, file: Path, every: int) -> None:
    """Writes the rows of every so many-th pair."""
    rows = parquet.read_rows(source, parquet.PREFERENCES, parquet.to_preference)
    pairs = set(sorted({row.pair_id for row in rows})[::every])
    parquet.write_rows(file, [row for row in rows if row.pair_id in pairs], parquet.PREFERENCES)


def accuracies(report: dict[str, Any]) -> dict[str, float]:
    """Of one reward model, by what was asked."""
    rm = report["rm"]
    found = {name: rm[name]["value"] for name in ("positive", "negated")}
    return found | {f"{size} at once": own["value"] for size, own in rm["sets"]["joint"].items()}


def of_seed(seed: int, folder: Path) -> dict[str, dict[str, float]]:
    """Accuracies by reward model; what is there already is not made again."""
    kept = folder / f"seed-{seed}.json"
    found: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    general = folder / f"general-{seed}.jsonl"
    if not general.exists():
        write_preferences(general, PRETRAINED, seed)
    first = f"reward_model.pretrain={{preferences: {general}, options: {OPTIONS}}}"
    judged, same = folder / f"judged-{seed}", [f"run.seed={seed}", *EVALUATE]
    # One run after pre-training for both sizes: what comes before `train-rm` is not done again.
    arms = (
        ("all, alone", 1, judged.name, [REPEATS]),
        ("quarter, alone", 4, f"quarter-{seed}", []),
        ("quarter, first PMP", 4, f"pmp-{seed}", [first]),
        ("all, first PMP", 1, f"pmp-{seed}", [first]),
    )
    for name, every, folder_name, overrides in arms:
        if name in found:
            continue
        rows, file = judged / "label" / "preferences.parquet", folder / f"rows-{every}-{seed}.parquet"
        if folder_name != judged.name:
            some_rows(rows, file, every)
            overrides = [f"preferences={file}", *overrides]
        report = run(folder_name, [*same, *overrides], folder)
        count = parquet.open_table(rows if folder_name == judged.name else file).num_rows
        found[name] = accuracies(report) | {ROWS: float(count)}
        kept.write_text(json.dumps(found, indent=1))
    return found


def main() -> int:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("runs/pretrain-rm"))
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    found = [of_seed(seed, folder) for seed in options.seeds]
    (folder / "table.json").write_text(json.dumps(found, indent=1))
    asked = [name for name in found[0]["all, alone"] if name != ROWS]
    print("accuracy on held-out prompts, mean and 95 % over seeds\n")
    print(f"{'':26}{'rows':>6}  " + "".join(f"{name:26}" for name in asked))
    for size in SIZES:
        for way in WAYS:
            own = [each[f"{size}, {way}"] for each in found]
            rows = round(sum(each[ROWS] for each in own) / len(own))
            cells = "".join(f"{interval([each[name] for each in own]):26}" for name in asked)
            print(f"{size + ', ' + way:26}{rows:6}  {cells}")
        gains = [[each[f"{size}, first PMP"][name] - each[f"{size}, alone"][name] for each in found] for name in asked]
        print(f"{'  what PMP adds':26}{'':6}  " + "".join(f"{interval(values):26}" for values in gains))
    return 0


if __name__ == "__main__":
    sys.exit(main())
