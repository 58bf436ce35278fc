"""A case of bad input: what lies in a folder, the command, and what it has to say."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from core_world import Result, make_folder

Files = Mapping[str, "str | bytes | Link | Folder | Gone | Callable[[Path], object]"]


@dataclass(frozen=True)
class Link:
    """A symbolic link to `target`, which need not exist."""

    target: str


@dataclass(frozen=True)
class Folder:
    """A folder in place of a file."""


@dataclass(frozen=True)
class Gone:
    """Nothing, where `make_folder` left something."""


@dataclass(frozen=True)
class Bad:
    """One case.

    Attributes:
        says: fragments of the message, its place and what to do among them.
        command: after `salmon`; relative to the folder.
        changes: whole sections of the configuration.
        text: the configuration itself, instead.
        files: by path, written after the folder was made; a function is called with the path.
        code: the exit code.
        finished: begin from a folder in which a run has finished.
        limit: bytes that a file may grow to.
        absent: paths that may not exist afterwards.
    """

    name: str
    says: Sequence[str]
    command: str = "check salmon.yaml"
    changes: Mapping[str, Any] = field(default_factory=dict)
    text: str | bytes | None = None
    files: Files = field(default_factory=dict)
    code: int = 2
    env: Mapping[str, str] = field(default_factory=dict)
    finished: bool = False
    limit: int | None = None
    absent: Sequence[str] = ()

    def argv(self) -> list[str]:
        """The arguments."""
        return shlex.split(self.command)

    def make(self, folder: Path) -> None:
        """Makes the folder."""
        if not self.finished:
            text = self.text if isinstance(self.text, str) else None
            make_folder(folder, text, **self.changes)
        if isinstance(self.text, bytes):
            (folder / "salmon.yaml").write_bytes(self.text)
        put(folder, self.files)


def put(folder: Path, files: Files) -> None:
    """Writes files, links and folders."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.target)
        elif isinstance(content, Folder):
            path.mkdir()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif not isinstance(content, Gone):
            content(path)


def clear(done: Result, bad: Bad, folder: Path) -> None:
    """One message with its place, the exit code, no stack trace, nothing half-written."""
    assert "Traceback" not in done.text, done.text
    assert 'File "' not in done.text, done.text
    assert done.code == bad.code, done.text
    assert done.err.count("error:") == 1 or done.err.startswith("Usage:"), done.text
    for phrase in bad.says:
        assert phrase in done.err, done.text
    told = [line for line in done.err.splitlines() if not line.startswith(("using the file plugin", " " * 13))]
    told = [line for line in told if line[13:20] not in (" starts", " done  ")]
    assert len(told) <= 15, done.text
    assert len(done.err) < 4000, done.text
    assert not [path for path in folder.rglob("*.tmp") if not path.is_symlink()]
    for name in bad.absent:
        assert not (folder / name).exists(), f"{name} is there"


@contextmanager
def growing_to(limit: int | None) -> Iterator[None]:
    """In the block, and in processes that it starts, no file grows larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Here:
    """Takes the place of `Running`: our own worker and check run in this process, which saves seconds for each.

    What is the same: folder, log, exit code; what a process of its own would have printed is in the log.
    """

    real: type[Any]

    def __new__(cls, argv: Sequence[str], **values: Any) -> Any:
        own = list(argv[1:3]) in (["-m", "salmon_core.worker"], ["-m", "salmon_core.check.child"])
        return super().__new__(cls) if own else cls.real(argv, **values)

    def __init__(self, argv: Sequence[str], *, cwd: Path, log: Path, **_: Any):
        import importlib

        module = importlib.import_module(argv[2])
        before = Path.cwd()
        self._code = 0
        os.chdir(cwd)
        try:
            with log.open("a", encoding="utf-8") as output, redirect_stdout(output), redirect_stderr(output):
                try:
                    module.main(argv[3:])
                except SystemExit as error:
                    self._code = error.code if isinstance(error.code, int) else 1
                except BaseException:  # as the interpreter does at its end
                    traceback.print_exc(file=output)
                    self._code = 1
        finally:
            os.chdir(before)

    def poll(self) -> int | None:
        return self._code

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[Path]:
    """A small disk of its own; skips where nobody may mount one."""
    folder.mkdir(exist_ok=True)
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
