"""Does the runs that are not finished yet, and says how long the rest will take."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from evidence.folder import Folder
from evidence.question import BASE, Arm, Question
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import SalmonError
from salmon_core.run.processes import Running

#: beside a run's own files: what it took here
TOOK = "evidence.json"
KL = "kl.json"
BENCHMARKS = Path(__file__).resolve().parents[1]
#: exit codes of `salmon run`; 1 is also that of an expectation that is not met, so its stages are looked at afterwards
_DONE = (0, 1)
#: seconds of a run, as long as none is known
_GUESS = 120.0
#: characters of a log in a failure's message
_TOLD = 3000


@dataclass
class Progress:
    """How many of the runs are done, and when the last will be."""

    folder: Folder
    left: list[tuple[Arm, int]]
    jobs: int
    total: int
    done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seconds_left(self) -> float:
        """By what the same arm took with another seed, else by the mean of all."""
        took = _took(self.folder)
        usual = fmean(each for by_seed in took.values() for each in by_seed) if took else _GUESS
        return sum(fmean(took.get(arm.folder, [usual])) for arm, _ in self.left) / self.jobs

    def tell(self, arm: Arm, seed: int, said: str) -> None:
        """A run is through; `said` is how."""
        with self._lock:
            self.done += 1
            self.left = [each for each in self.left if each != (arm, seed)]
            minutes = self.seconds_left() / 60
            left = f"{minutes / 60:.1f} h" if minutes > 90 else f"{minutes:.0f} min"
            print(
                f"[{self.done}/{self.total}] seed {seed}  {arm.folder}: {said}; about {left} left",
                file=sys.stderr,
                flush=True,
            )


class RunFailed(Exception):
    """`salmon run` failed; what it said."""


def wanted(questions: Sequence[Question], seeds: Sequence[int]) -> list[tuple[Arm, int]]:
    """Every run once, seed by seed, the base first: others share its stages."""
    arms = list(dict.fromkeys([BASE, *(Arm("", arm.settings) for each in questions for arm in each.arms)]))
    unique = {arm.folder: arm for arm in reversed(arms)}
    return [(arm, seed) for seed in seeds for arm in sorted(unique.values(), key=lambda each: arms.index(each))]


def run_all(questions: Sequence[Question], seeds: Sequence[int], folder: Folder, *, jobs: int = 1) -> list[str]:
    """Runs what is not finished; a failed run is told and left out, and the next one begun.

    Args:
        jobs: seeds at once.

    Returns:
        the runs that failed.
    """
    folder.prepare()
    measured = {arm.folder for question in questions if question.kl for arm in question.arms}
    todo = [each for each in wanted(questions, seeds) if not _is_done(folder, *each, measured)]
    progress = Progress(folder, list(todo), min(jobs, max(1, len(seeds))), len(todo))
    all_of = len(wanted(questions, seeds))
    about = f"; about {progress.seconds_left() / 60:.0f} min" if todo else ""
    print(f"{all_of - len(todo)} of {all_of} runs are finished{about}", file=sys.stderr, flush=True)
    failed: list[str] = []

    def of_seed(seed: int) -> None:
        for arm, own in todo:
            if own != seed:
                continue
            try:
                said = one(folder, arm, seed, kl=arm.folder in measured)
            except RunFailed as error:
                failed.append(f"{arm.folder}/seed-{seed}")
                said = f"FAILED\n{error}\n"
            progress.tell(arm, seed, said)

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        list(pool.map(of_seed, seeds))
    return failed


def one(folder: Folder, arm: Arm, seed: int, *, kl: bool = False) -> str:
    """One run, to its end; how it went.

    Raises:
        RunFailed: it did not come to its end; what it said is in `seed-N.log` beside its folder.
    """
    start, run = time.monotonic(), folder.run(arm, seed)
    log = run.with_suffix(".log")
    shared: list[str] = []
    if not folder.finished(arm, seed):
        try:
            shared = folder.share(arm, seed)
        except SalmonError as error:
            raise RunFailed(str(error)) from None
        command = [sys.executable, "-m", "salmon_core", "run", str(folder.config), "--quick"]
        for override in folder.overrides(arm, seed):
            command += ["--set", override]
        _call(command, _DONE, log)
        if not folder.finished(arm, seed):
            raise RunFailed(f"`salmon run` ended, but not all of its stages are finished; {_end_of(log)}")
        seconds = time.monotonic() - start
        write_json(run / TOOK, {"seconds": round(seconds, 1), "shared": shared})
        folder.done(arm, seed)
    if kl and not has_kl(run):
        _call([sys.executable, "-m", "evidence.divergence", str(run)], (0,), log)
    return f"{time.monotonic() - start:.0f} s" + (f", shared {', '.join(shared)}" if shared else "")


def has_kl(run: Path) -> bool:
    """Whether the divergence of the policy that is there now was measured, or there is none to measure."""
    manifest = run / "train-policy" / "manifest.json"
    if not manifest.exists():
        return True
    found = read_json(run / KL) or {}
    return found.get("fingerprint") == (read_json(manifest) or {}).get("fingerprint")


def _is_done(folder: Folder, arm: Arm, seed: int, measured: set[str]) -> bool:
    return folder.finished(arm, seed) and (arm.folder not in measured or has_kl(folder.run(arm, seed)))


def _took(folder: Folder) -> dict[str, list[float]]:
    """Seconds by an arm's folder."""
    found: dict[str, list[float]] = {}
    for file in folder.path.glob(f"*/seed-*/{TOOK}"):
        seconds = (read_json(file) or {}).get("seconds")
        if isinstance(seconds, int | float):
            found.setdefault(file.parent.parent.name, []).append(float(seconds))
    return found


def _call(command: Sequence[str], fine: Sequence[int], log: Path) -> None:
    """A command to its end; it ends with this process, however that ends."""
    log.parent.mkdir(parents=True, exist_ok=True)
    start = log.stat().st_size if log.exists() else 0
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(BENCHMARKS), "TOKENIZERS_PARALLELISM": "false"}
    with Running(command, env=environment, cwd=BENCHMARKS.parent, log=log) as running:
        while (code := running.poll()) is None:
            time.sleep(0.1)
    if code not in fine:
        raise RunFailed(f"{' '.join(command)}\nexit code {code}; {_end_of(log, start)}")


def _end_of(log: Path, start: int = 0) -> str:
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - _TOLD))
        return f"{log} ends so:\n{file.read().decode(errors='replace')}"
