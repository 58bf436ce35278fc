"""Steps end, however their parent ends; what they said is shown; one writer per run folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest

from salmon_core import SalmonError, StageError
from salmon_core.run import processes as launch
from salmon_core.run.processes import Lock, Running, run_step

#: a step that starts a process in a session of its own, which starts another and ignores requests to end
STUBBORN = """
import os, signal, subprocess, sys, time
from pathlib import Path
if len(sys.argv) > 1:
    if "STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(f"pid-{sys.argv[1]}").write_text(str(os.getpid()))
    if sys.argv[1] == "child":
        subprocess.Popen([sys.executable, __file__, "grandchild"], start_new_session=True)
    time.sleep(600)
Path("pid-step").write_text(str(os.getpid()))
subprocess.Popen([sys.executable, __file__, "child"], start_new_session=True)
time.sleep(600)
"""
#: what `salmon run` is to a step
PARENT = """
import sys
from pathlib import Path
from salmon_core.run import processes as launch
here = Path.cwd()
with launch.Lock(here) as lock:
    launch.run_step("step", [sys.executable, "stubborn.py"], env={}, cwd=here, lock=lock)
"""
NAMES = ("step", "child", "grandchild")
LEVELS = (0, 1) if sys.platform == "linux" else (0,)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def step(folder: Path, code: str, **more: object) -> None:
    run_step("a step", [sys.executable, "-c", textwrap.dedent(code)], env={}, cwd=folder, **more)  # type: ignore[arg-type]


def start_parent(folder: Path, *, stubborn: bool = False) -> subprocess.Popen[bytes]:
    """A process in whose step a grandchild in a session of its own is at work."""
    (folder / "stubborn.py").write_text(STUBBORN)
    env = {**os.environ, **({"STUBBORN": "1"} if stubborn else {})}
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=folder, env=env, stderr=subprocess.PIPE, start_new_session=True
    )
    wait_for(lambda: all((folder / f"pid-{name}").exists() for name in NAMES))
    wait_for(lambda: all((folder / f"pid-{name}").read_text() for name in NAMES))
    return process


def pids(folder: Path) -> list[int]:
    return [int((folder / f"pid-{name}").read_text()) for name in NAMES]


# -- ends ------------------------------------------------------------------------------------------------------------


def test_no_descendant_outlives_a_killed_parent(tmp_path: Path) -> None:
    """Not even one in a session of its own that ignores requests; and the next run waits until all are gone."""
    parent = start_parent(tmp_path, stubborn=True)
    found = pids(tmp_path)
    assert all(map(alive, found))
    parent.kill()  # not reaped yet: a zombie is no run at work
    with Lock(tmp_path):
        assert not any(map(alive, found))
    parent.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_no_descendant_outlives_an_interrupted_parent(number: signal.Signals, tmp_path: Path) -> None:
    parent = start_parent(tmp_path)
    found = pids(tmp_path)
    assert all(map(alive, found))
    os.killpg(parent.pid, number)  # as a terminal does on Ctrl-C: to the parent's group, and to no step
    parent.communicate(timeout=30)
    with Lock(tmp_path):
        assert not any(map(alive, found))


def supervisors(parent: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """What stands between a run and its step, outermost first."""
    below = psutil.Process(parent.pid).children(recursive=True)
    return [process for process in below if "salmon_core.run.processes" in process.cmdline()]


def test_no_descendant_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """Whichever of a step's supervisors it is; the run that lives on is told."""
    for number in range(len(LEVELS)):
        folder = tmp_path / str(number)
        folder.mkdir()
        parent = start_parent(folder, stubborn=True)
        found, between = pids(folder), supervisors(parent)
        between[number].kill()
        _, said = parent.communicate(timeout=30)
        assert b"was ended by signal" in said
        with Lock(folder):
            assert not any(map(alive, found))


@pytest.mark.parametrize("number", LEVELS)
def test_no_descendant_outlives_a_killed_parent_and_a_killed_supervisor(number: int, tmp_path: Path) -> None:
    parent = start_parent(tmp_path, stubborn=True)
    found, between = pids(tmp_path), supervisors(parent)
    parent.kill()
    between[number].kill()
    wait_for(lambda: not any(map(alive, found)))
    parent.communicate(timeout=30)


def test_the_next_run_ends_what_an_overall_kill_has_left(tmp_path: Path) -> None:
    """`pkill -9 salmon` leaves nobody to end a grandchild in a session of its own."""
    parent = start_parent(tmp_path, stubborn=True)
    found, between = pids(tmp_path), supervisors(parent)
    for process in (psutil.Process(parent.pid), *between):
        process.suspend()
    for process in (psutil.Process(parent.pid), *between):
        process.kill()
    parent.communicate(timeout=30)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env={**os.environ})
    assert alive(found[2])
    with Lock(tmp_path):
        assert not any(map(alive, found))
        assert alive(stranger.pid)
    stranger.kill()
    stranger.wait()


def test_a_copy_of_a_folder_ends_nothing_of_the_run_it_was_copied_from(tmp_path: Path) -> None:
    parent = start_parent(tmp_path)
    found = pids(tmp_path)
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / ".lock", tmp_path / "copy" / ".lock")
    with Lock(tmp_path / "copy"):
        assert all(map(alive, found))
    parent.terminate()
    parent.communicate(timeout=30)
    with Lock(tmp_path):
        assert not any(map(alive, found))


def test_leaving_the_context_ends_a_service(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit()); open('up', 'w'); time.sleep(600)"
    with Running([sys.executable, "-c", code], env={}, cwd=tmp_path, log=tmp_path / "log.txt") as running:
        wait_for((tmp_path / "up").exists)
        assert running.poll() is None
    assert running.poll() is not None


def test_a_step_leaves_nothing_behind_when_it_ends_by_itself(tmp_path: Path) -> None:
    code = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        open("left", "w").write(str(child.pid))
    """
    step(tmp_path, code)
    wait_for(lambda: not alive(int((tmp_path / "left").read_text())))


# -- results ---------------------------------------------------------------------------------------------------------


def test_success_environment_and_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("before\n")
    code = "import os; print(os.environ['COLOUR'], os.getcwd())"
    seen: list[int] = []
    run_step("ok", [sys.executable, "-c", code], env={"COLOUR": "blue"}, cwd=tmp_path, watch=lambda: seen.append(1))
    assert (tmp_path / "log.txt").read_text() == f"before\nblue {tmp_path}\n"
    assert seen


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print('hello'); raise SystemExit(5)", "exit code 5: hello"),
        ("raise SystemExit(255)", "exit code 255: it printed nothing"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
        ("import os; os.abort()", "was ended by signal 6"),
        ("1 / 0", "exit code 1: ZeroDivisionError: division by zero"),
        ("print('x' * 5000 + chr(13) + 'last'); raise SystemExit(1)", "exit code 1: last"),
        ("import sys; sys.stdout.buffer.write(bytes([255, 254])); raise SystemExit(1)", "exit code 1: \ufffd"),
    ],
)
def test_how_a_failure_is_told(code: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("of an earlier run\n")
    with pytest.raises(StageError) as error:
        step(tmp_path, code)
    assert str(error.value).startswith(f"a step: {says}")
    assert "log.txt" in str(error.value)
    assert len(str(error.value)) < 1000
    assert "earlier" not in error.value.message


def test_an_error_left_in_a_file_is_shown_as_it_is(tmp_path: Path) -> None:
    code = """
        from salmon_core import DataError
        from salmon_core.run.processes import fail
        fail(DataError("is upside down", where="rows.jsonl: line 3", hint="turn it"))
    """
    with pytest.raises(StageError) as error:
        step(tmp_path, code)
    assert str(error.value) == "rows.jsonl: line 3: is upside down (turn it)"
    # An old one is not taken for a new one, and a torn one does no harm.
    with pytest.raises(StageError, match="exit code 4"):
        step(tmp_path, "raise SystemExit(4)")
    with pytest.raises(StageError, match="exit code 4"):
        step(tmp_path, "open('error.json', 'w').write('{\"mess'); raise SystemExit(4)")
    step(tmp_path, "pass")


#: fails as often as asked, with the words asked for
_UNLUCKY = """
    import pathlib, sys
    count = pathlib.Path("count"); tries = int(count.read_text()) + 1 if count.exists() else 1
    count.write_text(str(tries))
    if tries <= {failures}:
        {extra}
        print("the port is taken"); sys.exit(3)
"""


@pytest.mark.parametrize(
    ("failures", "retry_on", "extra", "tries", "works"),
    [
        (2, ("port is taken",), "pass", 3, True),
        (3, ("port is taken",), "pass", 3, False),
        (1, ("another reason",), "pass", 1, False),
        (1, (), "pass", 1, False),
        (1, ("port is taken",), "open('error.json', 'w').write('{}')", 1, False),
    ],
)
def test_a_failure_that_passes_by_itself(
    tmp_path: Path, failures: int, retry_on: tuple[str, ...], extra: str, tries: int, works: bool
) -> None:
    code = _UNLUCKY.format(failures=failures, extra=extra)
    with nullcontext() if works else pytest.raises(StageError, match="exit code 3: the port is taken"):
        step(tmp_path, code, retry_on=retry_on)
    assert (tmp_path / "count").read_text() == str(tries)
    assert (tmp_path / "log.txt").read_text().count("it is run again") == tries - 1


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="exit code 127: cannot start no-such-program: No such file"):
        run_step("a step", ["no-such-program"], env={}, cwd=tmp_path)


def test_a_supervisor_that_is_ended_from_outside_is_no_success(tmp_path: Path) -> None:
    """Ending the step takes its exit code away; that must not read as exit code 0."""
    ended: list[int] = []

    def end() -> None:
        if not ended and (tmp_path / "up").exists():
            living = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]
            (supervisor,) = (p for p in living if "salmon_core.run.processes" in p.cmdline())
            supervisor.terminate()
            ended.append(supervisor.pid)

    with pytest.raises(StageError, match="ended by signal 15"):
        step(tmp_path, "import time; open('up', 'w'); time.sleep(600)", watch=end)


def test_a_dead_service_ends_the_step(tmp_path: Path) -> None:
    def dead() -> None:
        raise StageError("the service died")

    start = time.monotonic()
    with pytest.raises(StageError, match="the service died"):
        step(tmp_path, "import time; time.sleep(600)", alive=dead)
    assert time.monotonic() - start < 30


# -- the lock --------------------------------------------------------------------------------------------------------

HOLD = "import sys, time; from pathlib import Path; from salmon_core.run.processes import Lock\n"


def hold(folder: Path, then: str) -> subprocess.Popen[bytes]:
    code = HOLD + f"with Lock(Path(sys.argv[1])):\n    Path(sys.argv[1], 'held').touch()\n    {then}\n"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    wait_for((folder / "held").exists)
    return process


def test_a_second_run_is_refused_at_once_and_told_by_whom(tmp_path: Path) -> None:
    process = hold(tmp_path, "time.sleep(600)")
    start = time.monotonic()
    with (
        pytest.raises(SalmonError, match=f"another salmon run is at work there \\(process {process.pid}\\)"),
        Lock(tmp_path),
    ):
        pass
    assert time.monotonic() - start < 5
    process.kill()
    process.wait()
    with Lock(tmp_path) as lock:
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()} {lock.mark}\n"
        assert lock.fd >= 0


def test_the_lock_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held by a process that cannot be looked up (another machine's): refused after a while."""
    monkeypatch.setattr(launch, "GRACE", 0.2)
    process = hold(tmp_path, f"open({str(tmp_path / '.lock')!r}, 'w').write('host:1\\n'); time.sleep(600)")
    wait_for(lambda: (tmp_path / ".lock").read_text().startswith("host"))
    with pytest.raises(SalmonError, match=r"process host:1"), Lock(tmp_path):
        pass
    process.kill()
    process.wait()
