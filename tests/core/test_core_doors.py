"""Whatever opens a configuration, a run or a job: its file plugins are code, which is announced or refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from core_world import SALMON, Result, environment, make_folder, salmon

MARKER = "code-ran"
LEAVES_A_MARK = f'\nfrom pathlib import Path as _Path\n_Path(__file__).with_name("{MARKER}").touch()\n'
REFUSED = "is a file plugin, and file plugins are switched off"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run whose plugin leaves a mark, and rows to score; do not write there."""
    folder = tmp_path_factory.mktemp("doors")
    make_folder(folder)
    with (folder / "world.py").open("a") as file:
        file.write(LEAVES_A_MARK)
    done = salmon("run", "salmon.yaml", cwd=folder)
    assert done.code == 0, done.text
    assert done.err.count("using the file plugin world.py") == 1, done.err
    (folder / "rows.jsonl").write_text('{"prompt": "What is it?", "completion": "A toy."}\n')
    spec = json.loads((folder / "runs" / "toy" / "train-policy" / "job.json").read_text())
    assert spec["reward"]["file_plugins"] == [str(folder / "world.py")]
    return folder


@pytest.fixture
def folder(finished: Path) -> Path:
    """The same folder, since a run's folder knows where its configuration lies; without the mark."""
    (finished / MARKER).unlink(missing_ok=True)
    return finished


@dataclass(frozen=True)
class Door:
    """A command; `serves` says that it goes on until it is told to stop."""

    argv: tuple[str, ...]
    serves: bool = False

    def open(self, cwd: Path, *more: str) -> Result:
        """Runs it to its end, or until it serves."""
        program = [str(SALMON)] if self.argv[0] != "-m" else [sys.executable]
        argv = [*program, *self.argv, *more]
        if not self.serves:
            done = subprocess.run(argv, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)
            return Result(done.returncode, done.stdout, done.stderr)
        ready = cwd / "ready.json"
        ready.unlink(missing_ok=True)
        argv += ["--ready-file", str(ready)]
        running = subprocess.Popen(
            argv, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while running.poll() is None and not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if running.poll() is None:
            running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=60)
        return Result(running.returncode, out, err)


JOB = "runs/toy/train-policy/job.json"
DOORS = {
    "check": Door(("check", "salmon.yaml")),
    "run": Door(("run", "salmon.yaml")),
    "serve a configuration": Door(("serve", "salmon.yaml"), serves=True),
    "serve a run": Door(("serve", "runs/toy"), serves=True),
    "serve a job": Door(("serve", "--job", JOB), serves=True),
    "serve a job beside a trainer": Door(("-m", "salmon_serve", JOB), serves=True),
}
#: where nothing can be refused yet
ANNOUNCED = {"score": Door(("score", "runs/toy", "rows.jsonl"))}


@pytest.mark.parametrize("name", [*DOORS, *ANNOUNCED])
def test_a_file_plugin_is_announced(name: str, folder: Path) -> None:
    done = {**DOORS, **ANNOUNCED}[name].open(folder)
    assert done.code == 0, done.text
    assert (folder / MARKER).exists()
    assert done.err.count(f"using the file plugin world.py: code from {folder} runs\n") == 1, done.err


@pytest.mark.parametrize("name", DOORS)
def test_a_file_plugin_is_refused_before_its_code_runs(name: str, folder: Path) -> None:
    done = DOORS[name].open(folder, "--no-file-plugins")
    assert done.code == 2, done.text
    assert not (folder / MARKER).exists()
    named = [line for line in done.err.splitlines() if REFUSED in line]
    assert len(named) == 1, done.err
    assert "world.py" in named[0]
    assert "using the file plugin" not in done.err
    assert len(done.err.splitlines()) <= 2


@pytest.mark.parametrize("argv", [("plan", "salmon.yaml")], ids=" ".join)
def test_what_is_refused_there_too(argv: tuple[str, ...], folder: Path) -> None:
    done = Door(argv).open(folder, "--no-file-plugins")
    assert (done.code, (folder / MARKER).exists()) == (2, False)
    assert REFUSED in done.err


@pytest.mark.parametrize(
    "argv", [("report", "runs/toy"), ("principles", "show", "rules.yaml"), ("plugins",)], ids=" ".join
)
def test_what_runs_no_code_of_the_folder(argv: tuple[str, ...], folder: Path) -> None:
    done = salmon(*argv, cwd=folder)
    assert done.code == 0, done.text
    assert not (folder / MARKER).exists()


def damage(folder: Path) -> None:
    config = folder / "salmon.yaml"
    config.write_text(config.read_text().replace("toy-count", "no-such-evaluator"))


def crash(folder: Path) -> None:
    with (folder / "world.py").open("a") as file:
        file.write("\n1 / 0\n")


@pytest.mark.parametrize("spoil", [damage, crash])
def test_it_is_announced_though_the_configuration_is_wrong(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    """By then its code has run."""
    make_folder(tmp_path)
    with (tmp_path / "world.py").open("a") as file:
        file.write(LEAVES_A_MARK)
    spoil(tmp_path)
    done = salmon("serve", "salmon.yaml", cwd=tmp_path)
    assert (done.code, (tmp_path / MARKER).exists()) == (2, True)
    assert done.err.count("using the file plugin world.py") == 1


def test_a_refused_configuration_says_nothing_else(tmp_path: Path) -> None:
    """Components of the refused file cannot be found; twenty lines about that would hide the reason."""
    make_folder(tmp_path)
    shutil.copy(tmp_path / "world.py", tmp_path / "other.py")
    text = (tmp_path / "salmon.yaml").read_text()
    (tmp_path / "salmon.yaml").write_text(text.replace("- world.py", "- world.py\n- other.py"))
    done = salmon("check", "salmon.yaml", "--no-file-plugins", cwd=tmp_path)
    assert done.err.splitlines() == [
        "error: 2 problems in salmon.yaml",
        f"  - plugins[0]: world.py {REFUSED}",
        f"  - plugins[1]: other.py {REFUSED}",
    ]
