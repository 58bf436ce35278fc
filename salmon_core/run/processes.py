"""Processes that cannot outlive us.

`salmon run` starts each step under a small supervisor (this module run as a program). The supervisor holds one end of a
pipe whose other end only `salmon run` has: when that process goes, however it goes, the pipe closes and the supervisor
ends the step with everything it started. The run's lock is inherited, so no second run can start before that is done.

A supervisor can be killed too. On Linux there are two, one the other's parent, and either ends everything if the other
is gone. Where nobody is left, every process that a run started still carries the lock's mark in its environment: the
next run on the folder ends them first.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from salmon_core.data.files import append_line, naming, write_text
from salmon_core.errors import SalmonError, StageError

if TYPE_CHECKING:
    import psutil

GRACE = 5.0
"""Seconds between asking a process to end and killing it."""
ENVIRONMENT: Mapping[str, str] = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Of every process of a run that loads models."""
_MARK = "SALMON_MARK"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LAST_SIGNAL = 64
_UNSAID = os.EX_IOERR
#: first argument of a supervisor that passes on what it reads
_TALKS = "--talks"


class Lock:
    """Whoever holds it is the only writer of a run folder; inherited by the steps' supervisors."""

    def __init__(self, folder: Path):
        self._path = folder / ".lock"
        self.fd = -1
        self.mark = ""

    def __enter__(self) -> Lock:
        import fcntl

        self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        # A killed run's supervisors may still be ending their steps: worth waiting for, unlike a run that is alive.
        start = time.monotonic()
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = self._holder()[0]
                if time.monotonic() - start > (1.0 if _lives(holder) else 3 * GRACE):
                    os.close(self.fd)
                    raise SalmonError(
                        f"another salmon run is at work there (process {holder})",
                        where=str(self._path.parent),
                        hint="wait for it, end it, or give this run another name",
                    ) from None
                time.sleep(0.1)
        mark, file = self._holder()[1], os.fstat(self.fd)
        here = f"{file.st_dev:x}-{file.st_ino:x}-"
        if mark.startswith(here):  # in a copy of a folder it is another run's
            _end_all(lambda: _marked(mark))
        self.mark = here + uuid.uuid4().hex
        with naming(self._path):
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, f"{os.getpid()} {self.mark}\n".encode(), 0)
        return self

    def _holder(self) -> tuple[str, str]:
        """Process and mark of the run that has the lock, or had it last."""
        pid, _, mark = os.pread(self.fd, 128, 0).decode(errors="replace").strip().partition(" ")
        return pid or "unknown", mark

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def at_work(folder: Path) -> bool:
    """Whether the process lives that has the lock of a run's folder, or had it last; the lock is not touched."""
    try:
        return _lives((folder / ".lock").read_text(errors="replace").partition(" ")[0].strip())
    except OSError:
        return False


def _lives(pid: str) -> bool:
    import psutil

    try:
        return pid.isdecimal() and psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OverflowError):
        return False


class Running:
    """A supervised process; leaving the context ends it with all its descendants.

    Args:
        talks: it reads what `tell` says; else it has nothing to read.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path,
        lock: Lock | None = None,
        talks: bool = False,
    ):
        self.argv = list(argv)
        self._mark = f"{lock.mark if lock else uuid.uuid4().hex}/{uuid.uuid4().hex}"
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "salmon_core.run.processes", *([_TALKS] if talks else []), *argv],
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    # SPT_NOENV: a program that sets its own title (ray, vLLM) leaves its environment readable.
                    env={**os.environ, "SPT_NOENV": "1", **env, _MARK: self._mark},
                    start_new_session=True,
                    pass_fds=[lock.fd] if lock else [],
                )
            except OSError as error:
                raise StageError(f"cannot start {argv[0]}: {error.strerror}", where=str(cwd)) from None

    def poll(self) -> int | None:
        return self._process.poll()

    def tell(self, line: str) -> bool:
        """A line for a process that talks; whether there is somebody to hear it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError:
            return False
        return True

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(GRACE + 3)
        except subprocess.TimeoutExpired:
            _kill_all(lambda: _below(self._process.pid))
            self._process.kill()
            self._process.wait()
        if self._process.returncode < 0:
            _end_all(lambda: _marked(self._mark))


def run_step(
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    lock: Lock | None = None,
    watch: Callable[[], None] = lambda: None,
    alive: Callable[[], None] = lambda: None,
    retry_on: Sequence[str] = (),
) -> None:
    """Runs a step to its end; its output goes to `cwd/log.txt`.

    Args:
        watch: called several times a second, to show progress.
        alive: called likewise; raises when something that the step depends on has died.
        retry_on: texts in the output of a failure that passes by itself; then it is run again, twice at most.

    Raises:
        StageError: it failed; carries what the step wrote to `error.json`, or the end of its log.
    """
    log, error_file = cwd / "log.txt", cwd / "error.json"
    for more in (2, 1, 0):
        error_file.unlink(missing_ok=True)
        start = log.stat().st_size if log.exists() else 0
        with Running(argv, env=env, cwd=cwd, log=log, lock=lock) as running:
            while (code := running.poll()) is None:
                watch()
                alive()
                time.sleep(0.1)
        watch()
        if code == 0:
            return
        output = _output(log, start)
        met = next((text for text in retry_on if text in output), None)
        if not more or met is None or error_file.exists():
            raise failure(name, code, log, start)
        append_line(log, f"\nsalmon: {name} failed by {met}, which passes by itself; it is run again")


def _output(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")


def failure(name: str, code: int, log: Path, start: int = 0) -> StageError:
    """What a step that failed wrote to `error.json`, or the end of its output.

    Args:
        start: where its output begins in the log.
    """
    output = _output(log, start)
    try:
        error = json.loads((log.parent / "error.json").read_text())
        return StageError(error["message"], where=error.get("where") or name, hint=error.get("hint"))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        pass
    ending = (
        f"was ended by signal {-code if code < 0 else code - 128}"
        if code < 0 or 128 < code <= 128 + _LAST_SIGNAL
        else f"exit code {code}"
    )
    if code == _UNSAID and not output.strip():
        return StageError("could write neither its error nor its log", where=str(log.parent), hint="is the disk full?")
    lines = output.replace("\r", "\n").strip().splitlines()
    last = lines[-1].strip()[:300] if lines else "it printed nothing"
    return StageError(f"{ending}: {last}", where=name, hint=f"its whole output is in {log}")


def fail(error: SalmonError) -> None:
    """In a step: leaves an error for `run_step` to show, and ends with exit code 1; see `leave`."""
    leave(error)
    raise SystemExit(1)


def leave(error: SalmonError) -> None:
    """In a step: leaves an error for `run_step` to show.

    On a full disk the log's last line takes its place; where that cannot be written either, the exit code says so.
    """
    values = {"message": error.message, "where": error.where, "hint": error.hint}
    left = 0
    with contextlib.suppress(OSError):
        write_text(Path("error.json"), json.dumps(values))
        left += 1
    with contextlib.suppress(OSError):
        print(f"error: {error}", file=sys.stderr, flush=True)
        left += 1
    if not left:
        os._exit(_UNSAID)  # an ordinary end would try to write again


def _supervise(argv: Sequence[str]) -> int:
    talks = argv[0] == _TALKS
    argv = argv[1:] if talks else argv
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None:
        # Orphaned grandchildren become the inner supervisor's, and the outer one's if the inner is killed.
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        outer = os.getpid()
        if inner := os.fork():
            return _guard(inner)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != outer:  # killed before that was said
            return 128 + signal.SIGKILL

    def tie() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    try:
        read = subprocess.PIPE if talks else subprocess.DEVNULL
        child = subprocess.Popen(argv, stdin=read, start_new_session=True, preexec_fn=tie, close_fds=True)
    except OSError as error:
        print(f"cannot start {argv[0]}: {error.strerror}", file=sys.stderr)
        return 127
    ended = threading.Event()

    def parent_gone() -> None:
        # The raw descriptor: a daemon thread must not hold the lock of a buffered reader at shutdown.
        while data := os.read(0, 4096):
            if child.stdin is not None:
                with contextlib.suppress(OSError):
                    os.write(child.stdin.fileno(), data)
        if not ended.is_set():
            _end(child)

    told: list[int] = []

    def on_signal(number: int, _: object) -> None:
        told.append(number)
        _end(child)

    threading.Thread(target=parent_gone, daemon=True).start()
    signal.signal(signal.SIGTERM, on_signal)
    code = child.wait()
    ended.set()
    _end(child)
    if told:  # ending the step may have taken its exit code from us
        return 128 + told[0]
    return code if code >= 0 else 128 - code


def _guard(inner: int) -> int:
    """The outer supervisor: passes on what it is told, and ends what the inner one leaves if it is killed."""

    def on_signal(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(inner, number)

    signal.signal(signal.SIGTERM, on_signal)
    code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
    if code >= 0:
        return code
    _end_all(lambda: _below(os.getpid()))
    return 128 - code


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ends the step's process group and whatever else descends from this supervisor."""
    _end_all(lambda: _below(os.getpid()))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _end_all(find: Callable[[], list[psutil.Process]]) -> None:
    """Asks processes to end, and after a while kills them."""
    import psutil

    processes = find()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(processes, timeout=GRACE)
    _kill_all(find)


def _kill_all(find: Callable[[], list[psutil.Process]]) -> None:
    """Kills until none is left: one may have started another in the meantime."""
    import psutil

    for _ in range(20):
        if not (processes := find()):
            return
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=0.2)


def _below(pid: int) -> list[psutil.Process]:
    """A process's descendants."""
    import psutil

    try:
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return found


def _marked(mark: str) -> list[psutil.Process]:
    """The processes that carry a mark, of a lock or of one step; never this one or what it runs under."""
    import psutil

    found, mine = [], {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in mine and process.environ().get(_MARK, "").startswith(mark):
                found.append(process)
    return found


if __name__ == "__main__":
    sys.exit(_supervise(sys.argv[1:]))
