"""Kills a run in a stage, and starts the same command again, for `prove_kills.py`."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
from prove_kills_compare import different
from prove_kills_world import PATIENCE, STAGES, TRAINING, World, environment

SIGNALS = ("KILL", "TERM", "INT")
WHOM = ("main", "child", "tree")
#: seconds until a run that was killed, and all that it started, has to be gone
GONE = 20.0
#: of the trainers and of our own stages: the process that works, below the supervisors
_WORKERS = ("salmon_core.worker", "salmon_trl.worker", "openrlhf.cli", "salmon_openrlhf")
_SUPERVISOR = "salmon_core.run.processes"
#: files of a stage that a kill may wait for, so that it comes between, or in the midst of writing
_MOMENTS = {
    "prompts": ("prompts.parquet",),
    "sample": ("part-00000.parquet", "part-00002.parquet"),
    "judge": ("part-00000.parquet", "part-00001.parquet"),
    "label": ("preferences.parquet",),
    "evaluate": ("samples-*.parquet", "00-*.json"),
}
_TRAINING_MOMENTS = ("*.parquet", "data/*.parquet", "steps.jsonl", "checkpoints/checkpoint-*", "model")
_OTHER_MOMENTS = ("steps.jsonl", "rollouts/*.parquet", "checkpoints/*", "checkpoints/**/latest")


@dataclass(frozen=True)
class Kill:
    """One of those to be done.

    Attributes:
        anew: nothing of the later stages is there; else they are finished, and stay so if the killed one's result is
            the same.
    """

    backend: str
    stage: str
    whom: str
    signal: str
    anew: bool

    @property
    def name(self) -> str:
        """For `--only` and the progress."""
        return f"kill {self.backend} {self.stage} {self.whom} {self.signal}"


@dataclass
class Result:
    """What came of it.

    Attributes:
        verdict: `equal`, `said`, `FAILED` or `not run`.
        detail: what was different, or said.
        at: the moment.
    """

    verdict: str
    detail: str = ""
    at: str = ""
    seconds: float = 0.0


def kills() -> list[Kill]:
    """All 66: six of the nine ways for each stage of TRL, three for the report, and the nine over OpenRLHF's stages."""
    ways = [(whom, name) for whom in WHOM for name in SIGNALS]
    found = []
    for number, stage in enumerate(STAGES[:-1]):
        own = [ways[(number * 4 + step * 5) % 9] for step in range(6)]
        found += [Kill("trl", stage, *way, anew=way == own[0]) for way in own]
    found += [Kill("trl", "report", "main", name, anew=False) for name in SIGNALS]
    # Each way once, each stage with every signal and every target once.
    for number, stage in enumerate(TRAINING):
        for step, whom in enumerate(WHOM):
            found.append(Kill("openrlhf", stage, whom, SIGNALS[(number + step) % 3], anew=False))
    return found


def killed(world: World, kill: Kill, rng: Random) -> Result:
    """Does it, compares, and says what came of it."""
    begun = time.monotonic()
    until = kill.stage if not world.exact else ""
    longest = max(0.2, world.seconds(kill.stage) * 0.8)
    for _ in range(5):
        _prepare(world, kill)
        moment, delay = _moment(world, kill, rng, longest)
        at = f"{moment or 'start'} + {delay:.2f} s"
        fault = _disturb(world, kill, moment, delay, until)
        if fault is None or fault:
            break
        longest /= 2  # the stage was over before the kill came
    else:
        return Result("FAILED", "the stage was over each time before the kill came", at, time.monotonic() - begun)
    if fault:
        return Result("FAILED", fault, at, time.monotonic() - begun)
    again = world.salmon(until)
    seconds = time.monotonic() - begun
    if again.code != 0 or "Traceback" in again.said:
        return Result("FAILED", f"the same command again: exit code {again.code}: {again.said[-3000:]}", at, seconds)
    inexact = () if world.exact else TRAINING
    found = different(world.reference, world.run, until=until or world.until, inexact=inexact)
    return Result("FAILED" if found else "equal", "; ".join(found), at, seconds)


def _prepare(world: World, kill: Kill) -> None:
    """The run as it is before the stage."""
    world.restore()
    at = STAGES.index(kill.stage)
    for stage in STAGES[at:] if kill.anew or not world.exact else (kill.stage,):
        shutil.rmtree(world.run / stage, ignore_errors=True)
    (world.run / "report.json").unlink(missing_ok=True)
    if kill.stage == "judge":
        shutil.rmtree(world.run / "cache", ignore_errors=True)


def _moment(world: World, kill: Kill, rng: Random, longest: float) -> tuple[str, float]:
    """A file to wait for, or none, and seconds from then on."""
    files = _MOMENTS.get(kill.stage, ())
    if kill.stage in TRAINING:
        files = _TRAINING_MOMENTS if world.exact else _OTHER_MOMENTS
    moment = rng.choice(("", "", *files)) if files else ""
    return moment, rng.uniform(0, min(0.4, longest) if moment else longest)


def _disturb(world: World, kill: Kill, moment: str, delay: float, until: str) -> str | None:
    """Starts the run and sends the signal; a fault in words, None for none, "" if the stage was over before."""
    events, said = world.run / "events.jsonl", world.folder / "killed.txt"
    size = events.stat().st_size
    with said.open("wb") as output:
        process = subprocess.Popen(
            world.argv(until), cwd=world.folder, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    main = psutil.Process(process.pid)
    try:
        if not _wait(process, events, size, kill.stage, world.run / kill.stage, moment):
            failed = process.poll() not in (None, 0)
            return f"the run failed by itself: {said.read_text(errors='replace')[-3000:]}" if failed else ""
        time.sleep(delay)
        targets = _targets(process, main, kill.whom)
        if targets is None or _over(events, size, kill.stage):
            return ""
        family = _family(main)
        for target in targets:
            with contextlib.suppress(psutil.Error):
                target.send_signal(getattr(signal, f"SIG{kill.signal}"))
        return _ended(process, main, family, world, said)
    finally:
        _clear(process, main)


def _ended(
    process: subprocess.Popen[bytes], main: psutil.Process, family: set[psutil.Process], world: World, said: Path
) -> str | None:
    """Waits until the run is gone with all its processes; a fault in words."""
    deadline = time.monotonic() + GONE
    while process.poll() is None:
        family |= _family(main)
        if time.monotonic() > deadline:
            return f"`salmon run` did not end within {GONE:.0f} s of the signal"
        time.sleep(0.05)
    mark = (world.run / ".lock").read_text().split()[1]
    while left := [one for one in family | set(_marked(mark)) if _lives(one)]:
        if time.monotonic() > deadline:
            return f"left over after {GONE:.0f} s: " + "; ".join(_words(one) for one in left)
        time.sleep(0.1)
    if process.returncode == 0:
        return ""  # it ended by itself
    text = said.read_text(errors="replace")
    return f"a trace on the terminal of the killed run: {text[-3000:]}" if "Traceback" in text else None


def _wait(process: subprocess.Popen[bytes], events: Path, size: int, stage: str, folder: Path, moment: str) -> bool:
    """Until the moment; whether it came."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        new = _new(events, size)
        if _over(events, size, stage):
            return False
        if any(event.get("event") == "StageStarted" and event.get("stage") == stage for event in new) and (
            not moment or any(folder.glob(moment))
        ):
            return True
        time.sleep(0.01)
    return False


def _clear(process: subprocess.Popen[bytes], main: psutil.Process) -> None:
    """Nothing of the run lives on, whatever happened."""
    family = _family(main)
    if process.poll() is None:
        process.kill()
    process.wait()
    _, left = psutil.wait_procs(family, timeout=GONE)
    for one in left:
        with contextlib.suppress(psutil.Error):
            one.kill()


def _new(events: Path, size: int) -> list[dict[str, str]]:
    """Events since then; a line still being written is left out."""
    with events.open("rb") as file:
        file.seek(size)
        lines = file.read().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def _over(events: Path, size: int, stage: str) -> bool:
    return any(event["event"] == "StageFinished" and event["stage"] == stage for event in _new(events, size))


def _targets(process: subprocess.Popen[bytes], main: psutil.Process, whom: str) -> list[psutil.Process] | None:
    """Whom the signal is for; a child is waited for, as there is none between two of them."""
    if whom == "main":
        return [main]
    while process.poll() is None:
        family = _family(main)
        if whom == "tree":
            return [main, *family]
        workers = [one for one in family if any(word in _words(one) for word in _WORKERS)]
        if found := [one for one in workers if _SUPERVISOR not in _words(one)]:
            return sorted(found, key=lambda one: one.pid)[-1:]
        time.sleep(0.01)
    return None


def _family(main: psutil.Process) -> set[psutil.Process]:
    try:
        return set(main.children(recursive=True))
    except psutil.Error:
        return set()


def _marked(mark: str) -> list[psutil.Process]:
    """Processes that carry the run's mark, whoever their parent is now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("SALMON_MARK", "").startswith(mark):
                found.append(process)
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
