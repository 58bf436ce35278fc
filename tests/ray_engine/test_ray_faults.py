"""Workers that die, fail, hang or never start; and what is left of Ray when salmon ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from processes import below, lives, until
from ray_world import asked, opened, spec, title

from salmon_core.api import ModelSpec, Sampler, Sampling
from salmon_core.calls import heard
from salmon_core.errors import SalmonError

SAMPLING = Sampling(seed=3, samples=2)


def _odd(path: str = "any", **options: Any) -> Sampler:
    return cast(Sampler, opened(spec("ray", engine="odd", chunk=1, **options), ModelSpec(path), "sampler"))


def _plain(*texts: str) -> Any:
    with opened(spec("letters"), ModelSpec("any"), "sampler") as model:
        return cast(Sampler, model).sample(asked(*texts), SAMPLING)


def test_a_worker_that_dies_changes_nothing(cluster: str, tmp_path: Path) -> None:
    texts = ["one", f"die-once {tmp_path / 'died'}", "two", "three", f"die-once {tmp_path / 'too'}"]
    with _odd() as model:
        assert model.sample(asked(*texts), SAMPLING) == _plain(*texts)
        assert {path.name for path in tmp_path.iterdir()} == {"died", "too"}
        # Idle ones that are gone as well.
        for pid in cast(Any, model)._model.pids:
            os.kill(pid, signal.SIGKILL)
        assert model.sample(asked("four", "five"), SAMPLING) == _plain("four", "five")


def test_a_piece_that_costs_worker_after_worker_ends_it(cluster: str) -> None:
    with _odd(attempts=2) as model:
        with pytest.raises(SalmonError) as caught:
            model.sample(asked("one", "die", "two"), SAMPLING)
        assert "2 workers died one after the other of the same piece of work" in caught.value.message
        assert "chunk" in (caught.value.hint or "")
        assert model.sample(asked("one"), SAMPLING) == _plain("one")


def test_models_that_cannot_be_opened(cluster: str) -> None:
    with pytest.raises(SalmonError) as caught:
        _odd("broken")
    assert (caught.value.message, caught.value.where, caught.value.hint) == ("is no model", "broken", "make one")
    with pytest.raises(SalmonError, match="died one after the other while they opened the model"):
        _odd("dies", attempts=2)


def test_errors_come_back_as_they_are(cluster: str) -> None:
    with _odd() as model:
        with pytest.raises(SalmonError) as caught:
            model.sample(asked("slow", "refuse"), SAMPLING)
        assert (caught.value.message, caught.value.where) == ("that is too much", "row 7")
        assert caught.value.hint == "ask for less"
        with pytest.raises(SalmonError, match=r"plugin ray-odd, engine 'odd', sample: ValueError: no such thing"):
            model.sample(asked("fail"), SAMPLING)
        # The slow piece of the question that failed is nobody's answer.
        assert model.sample(asked("one", "two"), SAMPLING) == _plain("one", "two")


def test_progress_is_told_from_within_a_piece(cluster: str) -> None:
    shares: list[float] = []
    with _odd(workers=1) as model, heard(shares.append):
        model.sample(asked("slow"), SAMPLING)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any(0 < share < 1 for share in shares)


def test_workers_for_which_there_is_no_room(cluster: str) -> None:
    with pytest.raises(SalmonError, match=r"no worker was ready within 1 s; one needs 1 CPU, 0 GPU, moon"):
        _odd(resources={"moon": 1.0}, start_timeout=1)


def test_closing_ends_the_workers(cluster: str) -> None:
    with _odd() as model:
        model.sample(asked("one", "two", "three"), SAMPLING)
        pids = cast(Any, model)._model.pids
        assert pids
        assert all(psutil.pid_exists(pid) for pid in pids)
    until(lambda: not any(psutil.pid_exists(pid) and lives(psutil.Process(pid)) for pid in pids))
    with pytest.raises(SalmonError, match="was closed"):
        model.sample(asked("one"), SAMPLING)


SCRIPT = """
import sys
from ray_world import asked, opened, spec
from salmon_core.api import ModelSpec, Sampling
with opened(spec("ray", engine="odd", chunk=1, workers=1), ModelSpec("any"), "sampler") as model:
    model.sample(asked("one"), Sampling())
    print("open", flush=True)
    sys.stdin.readline()
print("closed", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("ending", ["close", "SIGKILL"])
def test_a_cluster_of_its_own_ends_with_it(ending: str, cluster: str, tmp_path: Path) -> None:
    """It has nobody listen to the network, and leaves neither a process nor, but for a kill, a file."""
    aside = ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "RAY_USAGE_STATS_ENABLED")
    env = {name: value for name, value in os.environ.items() if name not in aside}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    began: list[psutil.Process] = []
    try:
        assert process.stdout.readline() == "open\n"
        began[:] = started = below(process.pid)
        assert any("raylet" in each.name() for each in started)
        for each in (*started, psutil.Process(process.pid)):
            listening = [at.laddr.ip for at in each.net_connections() if at.status == psutil.CONN_LISTEN]
            assert all(ip.removeprefix("::ffff:") in ("127.0.0.1", "::1") for ip in listening), (each, listening)
        raylet = next(each for each in started if "raylet" in each.name())
        assert raylet.environ()["RAY_USAGE_STATS_ENABLED"] == "0"
        folder = next(
            path for path in Path(raylet.cmdline()[1].partition("=")[2]).parents if path.name.startswith("salmon-")
        )
        assert folder.stat().st_mode & 0o077 == 0
        if ending == "close":
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "closed\n"
            assert not folder.exists()
        else:
            process.kill()
            # Ray's agents try for a minute to report it; under `salmon run`, its supervisor ends them too.
            started = [each for each in started if "Agent" not in title(each)]
        until(lambda: not any(map(lives, started)), 30)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        for each in (*began, *below(process.pid)):
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
