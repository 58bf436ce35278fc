"""Kills and damages small runs, and compares what the same command again makes of them: `make prove-kills`.

Kills: 66 in all (KILL, TERM or INT to `salmon run`, to the process that works, or to all processes at once), over all
stages on TRL and over OpenRLHF's own stages, on a CPU. Then the same command again: data files are those of an
undisturbed run. OpenRLHF does not end with the same weights, so of its trainings it is compared which files, steps and
rollouts there are. It runs where SALMON_OPENRLHF_PYTHON names its interpreter.

Damages: a file of every kind that a run leaves is deleted, cut to half, or has a bit turned. Then the same command
again: data files are those of the undisturbed run, or the message names what could not be had again. Of a checkpoint
the model made from it is lost too, and of the judge's cache a file of judgments, so that they are read.

Prints a table; exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from random import Random
from threading import Lock
from typing import Any

from prove_kills_damage import HOW, Damage, damaged, damages, kinds
from prove_kills_kill import SIGNALS, WHOM, Kill, Result, killed, kills
from prove_kills_world import STAGES, World, openrlhf_world, trl_world

from salmon_core.data.json import read_json, write_json

#: with `--quick`
_FEW = (
    "kill trl sample child KILL",
    "kill trl label tree",
    "kill trl train-policy main",
    "damage preferences.parquet truncate",
    "damage model: model.safetensors flip",
    "damage events.jsonl truncate",
)
_PYTHON = "SALMON_OPENRLHF_PYTHON"


def tell(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the moments, and of the files that are damaged")
    parser.add_argument("--quick", action="store_true", help="a handful")
    parser.add_argument("--only", nargs="*", default=[], help="those whose name begins so, such as 'kill trl judge'")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once")
    parser.add_argument("--until", choices=STAGES, default="report", help="the runs end after this stage")
    parser.add_argument("--resume", action="store_true", help="those that an interrupted call did are not done again")
    parser.add_argument("--folder", type=Path, default=Path("runs/prove-kills"))
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    # What a shell runs in the background ignores INT, and so would every run that is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def wanted(name: str) -> bool:
        listed = not options.quick or bool(options.only) or name.startswith(_FEW)
        return listed and (not options.only or name.startswith(tuple(options.only)))

    reached = STAGES[: STAGES.index(options.until) + 1]
    chosen = [kill for kill in kills() if wanted(kill.name) and kill.stage in reached]
    backends = {kill.backend for kill in chosen}
    if not options.only or any(name.startswith("damage") for name in options.only):
        backends.add("trl")
    pools = _pools(folder, backends, options.until, options.jobs)
    todo: list[Kill | Damage] = [*chosen]
    files: dict[str, list[str]] = {}
    if "trl" in pools:
        files = kinds(pools["trl"].queue[0].reference)
        todo += [damage for damage in damages(files) if wanted(damage.name)]
    file = folder / "results.json"
    if not options.resume:
        file.unlink(missing_ok=True)
    results = _all(todo, pools, files, options.seed, file)
    _tables(results)
    return 1 if not results or any(each.verdict == "FAILED" for each in results.values()) else 0


def _pools(folder: Path, backends: set[str], until: str, jobs: int) -> dict[str, Queue[World]]:
    """By backend the worlds to disturb: those that are needed and can be had, with their undisturbed runs."""
    made: dict[str, list[World]] = {}
    if "trl" in backends:
        names = ["trl", *(f"trl-{number}" for number in range(2, jobs + 1))]
        made["trl"] = [trl_world(folder / name, until) for name in names]
    if "openrlhf" in backends and os.environ.get(_PYTHON):
        made["openrlhf"] = [openrlhf_world(folder / "openrlhf", until)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda worlds: worlds[0].make(tell), made.values()))
    pools: dict[str, Queue[World]] = {}
    for backend, worlds in made.items():
        pools[backend] = Queue()
        for world in worlds:
            if world is not worlds[0]:
                world.take(worlds[0])
            pools[backend].put(world)
    return pools


def _all(
    todo: Sequence[Kill | Damage],
    pools: Mapping[str, Queue[World]],
    files: Mapping[str, list[str]],
    seed: int,
    file: Path,
) -> dict[Kill | Damage, Result]:
    """Does them, as many at once as there are worlds; each result goes to the file, and those in it are taken."""
    known: dict[str, dict[str, Any]] = read_json(file) or {}
    lock = Lock()

    def do(each: Kill | Damage) -> Result:
        if each.name in known and known[each.name]["verdict"] != "not run":
            return Result(**known[each.name])
        queue = pools.get(_backend(each))
        if queue is None:
            result = Result("not run", f"{_PYTHON} is not set")
        else:
            world, rng = queue.get(), Random(f"{seed} {each.name}")
            try:
                if isinstance(each, Kill):
                    result = killed(world, each, rng)
                else:
                    result = damaged(world, each, files[each.kind], rng)
            finally:
                queue.put(world)
        with lock:
            known[each.name] = vars(result)
            write_json(file, known)
            _progress(f"{len(known)}/{len(todo)}", each.name, result)
        return result

    # Each backend has threads of its own, so that nobody waits for a world of the other.
    with contextlib.ExitStack() as stack:
        threads = {
            backend: stack.enter_context(ThreadPoolExecutor(pools[backend].qsize() if backend in pools else 1))
            for backend in ("trl", "openrlhf")
        }
        futures = {each: threads[_backend(each)].submit(do, each) for each in todo}
        return {each: future.result() for each, future in futures.items()}


def _backend(each: Kill | Damage) -> str:
    return each.backend if isinstance(each, Kill) else "trl"


def _progress(count: str, name: str, result: Result) -> None:
    detail = f": {result.detail}" if result.detail else ""
    at = f" at {result.at}" if result.at else ""
    tell(f"{time.strftime('%H:%M:%S')} {count}: {name}{at}: {result.verdict}, {result.seconds:.0f} s{detail}")


def _tables(results: Mapping[Kill | Damage, Result]) -> None:
    of_kills = {each: result for each, result in results.items() if isinstance(each, Kill)}
    of_damages = {each: result for each, result in results.items() if isinstance(each, Damage)}
    if of_kills:
        print(f"{'killed':24}" + "".join(f"{whom:24}" for whom in WHOM).rstrip())
        print((" " * 24 + "".join(f"{name:8}" for _ in WHOM for name in SIGNALS)).rstrip())
        verdicts = {(kill.backend, kill.stage, kill.whom, kill.signal): each for kill, each in of_kills.items()}
        for row in dict.fromkeys((kill.backend, kill.stage) for kill in of_kills):
            cells = [verdicts.get((*row, whom, name)) for whom in WHOM for name in SIGNALS]
            _row(" ".join(row), 24, cells, 8)
        print()
    if of_damages:
        print(f"{'damaged':40}" + "".join(f"{how:10}" for how in HOW).rstrip())
        for kind in dict.fromkeys(damage.kind for damage in of_damages):
            _row(kind, 40, [of_damages.get(Damage(kind, how)) for how in HOW], 10)
        print()
    print("; ".join([_summary("kills", of_kills.values()), _summary("damages", of_damages.values())]))
    for reason in sorted({f"not run: {each.detail}" for each in results.values() if each.verdict == "not run"}):
        print(reason)
    for each, result in results.items():
        if result.verdict == "FAILED":
            print(f"\n{each.name}, at {result.at}: FAILED\n{result.detail}")


def _row(name: str, wide: int, cells: Sequence[Result | None], width: int) -> None:
    print((f"{name:{wide}}" + "".join(f"{cell.verdict if cell else '':{width}}" for cell in cells)).rstrip())


def _summary(what: str, results: Iterable[Result]) -> str:
    """How many were run, and how they came out."""
    count = Counter(result.verdict for result in results)
    parts = [f"{count[verdict]} {verdict}" for verdict in ("equal", "said", "FAILED", "not run") if count[verdict]]
    return f"{count.total() - count['not run']} of {count.total()} {what}: {', '.join(parts) or 'none'}"


if __name__ == "__main__":
    sys.exit(main())
