"""Our PPO beside TRL's last one (1.12), and TRL's GRPO and RLOO, on a task whose best reward is known.

    OMP_NUM_THREADS=1 python benchmarks/ppo.py                  # tunes, then five seeds
    python benchmarks/ppo.py --quick                            # does it run; says nothing about the algorithms

All four start from the same random weights and get the same batches, passes, KL coefficient and choice of learning
rates; each is then run with the rate that gave it the best final reward on other seeds. Every run is a process of its
own with one thread; the algorithms take turns, in an order that changes with the seed. TRL 1.12 lives in
`.venv-trl112`, made on first use with the versions of `constraints.txt` for everything else.

Seconds are CPU seconds of the process, which on a machine with other work vary less than the clock; the clock's are
printed beside them. TRL 1.12 asks for a full garbage collection twice per update, which with a model as small as this
one is most of its time; `--freeze` keeps what was imported from the collector (`gc.freeze`), in all four, which takes
that out of the comparison. The task and each trainer's settings stand in `ppo_task.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, NoReturn

from ppo_task import OPTIMUM

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OLD = "ppo-1.12"
NAMES = {"ppo": "our PPO", OLD: "TRL 1.12's PPO", "grpo": "TRL's GRPO", "rloo": "TRL's RLOO"}
#: two-sided 95 % quantiles of Student's t by degrees of freedom
_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}


def old_python() -> Path:
    """The interpreter that has TRL 1.12; made if there is none."""
    folder = ROOT / ".venv-trl112"
    python, ready = folder / "bin" / "python", folder / ".installed"
    if not ready.exists():
        print(f"making {folder.name}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("trl==")]
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join([*pins, "trl==1.12.0"]))
        install = [str(python), "-m", "pip", "install", "-q", "-c", str(constraints)]
        subprocess.run([*install, "torch"], check=True)  # first and pinned: an unpinned one pulls gigabytes
        subprocess.run([*install, "trl", "transformers"], check=True)
        ready.touch()
    return python


class Trainer:
    """A process that has imported one version of TRL, and copies itself for each run."""

    def __init__(self, python: str | Path, freeze: bool):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  (as long as the process)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [str(python), str(HERE / "ppo_task.py"), "freeze" if freeze else "collect"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )

    def __call__(self, run: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(json.dumps({**run, "folder": folder}), file=self._process.stdin, flush=True)
            except BrokenPipeError:
                self._failed(run)
            for line in self._process.stdout:
                if line.startswith('{"points"'):
                    result: dict[str, Any] = json.loads(line)
                    return result
        self._failed(run)

    def _failed(self, run: dict[str, Any]) -> NoReturn:
        self._errors.seek(0)
        raise SystemExit(f"{run} failed:\n{self._errors.read()[-4000:]}")

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def rewards(result: dict[str, Any]) -> list[float]:
    """Mean reward of each generated batch."""
    return [point[2] for point in result["points"]]


def final(result: dict[str, Any]) -> float:
    """Mean reward of the last tenth of the batches."""
    own = rewards(result)
    return fmean(own[-max(1, len(own) // 10) :])


def per_update(result: dict[str, Any], clock: int) -> float:
    """Median seconds from one scored batch to the next, the first left out; `clock` 0: on the wall, 1: of the CPU."""
    gaps = [after[clock] - before[clock] for before, after in pairwise(result["points"])]
    return median(gaps[1:] or gaps)


def span(result: dict[str, Any]) -> float:
    """CPU seconds from the first scored batch to the last."""
    return float(result["points"][-1][1] - result["points"][0][1])


def area_by_time(result: dict[str, Any], budget: float) -> float:
    """Mean reward over the first `budget` CPU seconds: at any time, that of the newest batch."""
    points = result["points"]
    total = 0.0
    for (_, start, reward), (_, end, _) in pairwise(points):
        begin = start - points[0][1]
        total += reward * max(0.0, min(end - points[0][1], budget) - begin)
    return total / budget


def interval(values: Sequence[float], digits: int = 3) -> str:
    """Mean with its 95 % t interval over seeds."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}"
    half = _T.get(len(values) - 1, 2.2) * stdev(values) / len(values) ** 0.5
    return f"{fmean(values):.{digits}f} ± {half:.{digits}f}"


def tune(trainers: dict[str, Trainer], args: argparse.Namespace, base: dict[str, Any]) -> dict[str, float]:
    """Each algorithm's best learning rate by mean final reward on the tuning seeds."""
    if len(args.rates) == 1:
        return dict.fromkeys(trainers, args.rates[0])
    seeds = [1000 + i for i in range(args.tuning_seeds)]
    tables: dict[str, dict[float, float]] = {}

    def fill(names: Sequence[str]) -> None:
        for name, rate in product(names, args.rates):
            runs = [{**base, "algorithm": name, "learning_rate": rate, "seed": seed} for seed in seeds]
            tables.setdefault(name, {})[rate] = fmean(final(trainers[name](run)) for run in runs)

    # The two versions of TRL side by side: nothing is timed yet.
    with ThreadPoolExecutor() as pool:
        old = [name for name in trainers if name == OLD]
        list(pool.map(fill, (old, [name for name in trainers if name != OLD])))
    print(f"final reward by learning rate, mean of {len(seeds)} tuning seeds")
    for name in trainers:
        cells = "   ".join(f"{rate:g}: {value:.3f}" for rate, value in tables[name].items())
        print(f"  {NAMES[name]:16}{cells}", flush=True)
    return {name: max(table, key=lambda rate: table[rate]) for name, table in tables.items()}


def main() -> None:
    """Tunes, runs, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithms", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--updates", type=int, default=80, help="generated batches")
    parser.add_argument("--batch", type=int, default=64, help="completions in each, and in an optimizer step")
    parser.add_argument("--epochs", type=int, default=2, help="passes over each")
    parser.add_argument("--group", type=int, default=8, help="completions per prompt of GRPO and RLOO")
    parser.add_argument("--kl", type=float, default=0.01)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 3e-3, 1e-2])
    parser.add_argument("--tuning-seeds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="of the runs that are reported; tuning has its own")
    parser.add_argument("--freeze", action="store_true", help="keep what was imported from the garbage collector")
    parser.add_argument("--json", type=Path, help="also write every curve there")
    parser.add_argument("--quick", action="store_true", help="a few tiny updates, one seed, no tuning")
    args = parser.parse_args()
    if args.quick:
        args.updates, args.batch, args.hidden, args.seeds, args.rates = 4, 16, 16, 1, args.rates[1:2]
    base = {name: getattr(args, name) for name in ("updates", "batch", "epochs", "group", "kl", "hidden", "layers")}
    print(", ".join(f"{name} {value}" for name, value in base.items()) + f"; best possible reward {OPTIMUM}")
    today = Trainer(sys.executable, args.freeze)
    trainers = {name: Trainer(old_python(), args.freeze) if name == OLD else today for name in args.algorithms}
    chosen = tune(trainers, args, base)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in trainers}
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        turn = seed % len(trainers)
        for name in [*args.algorithms[turn:], *args.algorithms[:turn]]:
            run = {**base, "algorithm": name, "learning_rate": chosen[name], "seed": seed}
            results[name].append(trainers[name](run))
            print(f"seed {seed} {name:10} final {final(results[name][-1]):.3f}", file=sys.stderr, flush=True)
    for trainer in {today, *trainers.values()}:
        trainer.close()
    if args.json:
        args.json.write_text(json.dumps(results))

    budgets = [min(map(span, own)) for own in zip(*results.values(), strict=True)]
    print(f"\n{args.seeds} seeds, mean ± 95 % t interval; {args.updates * args.batch} samples a run")
    print(
        f"{'':16}{'rate':>7}{'final reward':>17}{'area, samples':>17}{'area, time':>17}"
        f"{'CPU s/update':>17}{'clock s/update':>17}"
    )
    for name, own in results.items():
        timed = [area_by_time(result, budget) for result, budget in zip(own, budgets, strict=True)]
        columns = [[final(r) for r in own], [fmean(rewards(r)) for r in own], timed]
        columns += [[per_update(r, clock) for r in own] for clock in (1, 0)]
        cells = "".join(
            f"{interval(column):>{width}}" for column, width in zip(columns, (17,) * 4 + (18,), strict=True)
        )
        print(f"{NAMES[name]:16}{chosen[name]:7g}{cells}")
    print(
        "area, samples: mean reward of all batches; area, time: mean reward over the CPU seconds of the fastest one's"
    )
    print("run (of the same seed); versions: " + ", ".join(_versions(results)))
    if {"ppo", OLD} <= set(results):
        _compare(results)


def _versions(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    return sorted({f"trl {own['trl']} with transformers {own['transformers']}" for r in results.values() for own in r})


def _compare(results: dict[str, list[dict[str, Any]]]) -> None:
    """Ours against 1.12, seed by seed."""
    pairs = list(zip(results["ppo"], results[OLD], strict=True))
    gains = [final(ours) - final(old) for ours, old in pairs]
    rows = [("final reward, ours - 1.12, same samples: >= 0", gains, fmean(gains) >= 0)]
    for text, clock in (("CPU seconds per update", 1), ("clock seconds per update", 0)):
        ratios = [per_update(ours, clock) / per_update(old, clock) for ours, old in pairs]
        rows.append((f"{text}, ours / 1.12: <= 1", ratios, fmean(ratios) <= 1))
    for text, values, holds in rows:
        print(f"{text:56}{interval(values):>16}   {'holds' if holds else 'FAILS'}")


if __name__ == "__main__":
    main()
