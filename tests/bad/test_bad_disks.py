"""Real processes on disks that are full, small or read-only; what is kept, and that the same command mends it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bad_case import Folder, Link, put, tmpfs
from core_world import Result, environment, make_folder, prompt_lines, salmon

SALMON = str(Path(sys.executable).parent / "salmon")


def limited(kib: int, *args: str, cwd: Path) -> Result:
    """The command, under a shell's `ulimit -f`."""
    line = ["sh", "-c", f'ulimit -f {kib * 2}; exec "$@"', "sh", SALMON, *args]
    done = subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120)
    return Result(done.returncode, done.stdout, done.stderr)


def said(done: Result, *phrases: str) -> None:
    """One line of an error, with its place, and no stack trace."""
    assert done.code in (1, 2), done.text
    assert "Traceback" not in done.text, done.text
    assert done.err.count("error:") == 1, done.text
    for phrase in phrases:
        assert phrase in done.err, done.text


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written there in the block; skips where root may write anywhere and nothing forbids it."""
    if os.geteuid() == 0:
        bound = subprocess.run(["mount", "--bind", str(folder), str(folder)], capture_output=True)
        if bound.returncode:
            pytest.skip("root may write anywhere, and nothing can be mounted here")
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True, capture_output=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    folder.chmod(0o555)
    try:
        yield
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("kib", [0, 1, 64])
def test_a_run_whose_files_may_not_grow(kib: int, tmp_path: Path) -> None:
    """And goes on to its end once they may."""
    make_folder(tmp_path)
    lines = [json.dumps({"prompt": f"{os.urandom(64).hex()}?"}) for _ in range(3000)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    done = limited(kib, "run", "salmon.yaml", "--until", "prompts", cwd=tmp_path)
    said(done, "runs/toy", "File too large (files may not grow larger here; see `ulimit -f`)")
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "runs/toy/prompts/prompts.parquet").exists()
    if kib == 64:
        again = salmon("run", "salmon.yaml", "--until", "prompts", cwd=tmp_path)
        assert again.code == 0, again.text
        assert (tmp_path / "runs/toy/prompts/prompts.parquet").is_file()


def test_a_full_disk(tmp_path: Path) -> None:
    """A run, a first configuration; then room is made, and the same commands go on."""
    make_folder(tmp_path)
    with tmpfs(tmp_path / "small", "256k") as small:
        filler = small / "filler"
        filler.write_bytes(b"x" * (240 << 10))
        done = salmon("run", "salmon.yaml", "--until", "sample", "--set", "run.folder=small", cwd=tmp_path)
        said(done, "small/toy", "No space left on device (make room, then run the same command again)")
        assert not list(small.rglob("*.tmp"))
        first = salmon("init", "small/new", "--model", "tiny", cwd=tmp_path)
        said(first, "small/new", "No space left on device")
        assert not list(small.rglob("*.tmp"))
        filler.unlink()
        assert salmon("init", "small/new", "--model", "tiny", cwd=tmp_path).code == 0
        again = salmon("run", "salmon.yaml", "--until", "sample", "--set", "run.folder=small", cwd=tmp_path)
        assert again.code == 0, again.text


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "shut").mkdir()
    with read_only(tmp_path / "shut"):
        for args in (
            ("run", "salmon.yaml", "--until", "prompts", "--set", "run.folder=shut"),
            ("init", "shut/new", "--model", "tiny"),
            ("init", "shut", "--model", "tiny"),
        ):
            said(salmon(*args, cwd=tmp_path), "shut", "choose a")
        checked = salmon(
            "check", "salmon.yaml", "--set", "run.folder=shut", cwd=tmp_path, env=environment(SALMON_QUICK="")
        )
        said(checked, "run.folder", "shut: cannot be written to", "choose another run.folder")
    assert not list((tmp_path / "shut").iterdir())


@pytest.mark.parametrize("left", ["nothing", "a part"])
def test_init_again_repairs(left: str, tmp_path: Path) -> None:
    kib = {"nothing": 0, "a part": 1}[left]
    said(limited(kib, "init", "new", "--model", "tiny", cwd=tmp_path), "new/", "File too large")
    assert not list(tmp_path.rglob("*.tmp"))
    assert salmon("init", "new", "--model", "tiny", cwd=tmp_path).code == 0
    assert salmon("init", "whole", "--model", "tiny", "--name", "new", cwd=tmp_path).code == 0
    whole = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*")}
    for path in whole:
        made, meant = tmp_path / "new" / path, tmp_path / "whole" / path
        assert made.is_dir() or made.read_bytes() == meant.read_bytes()


def test_a_log_that_cannot_grow(tmp_path: Path) -> None:
    """What a stage prints fills its log: the error is in `error.json`, or the last line of the log."""
    make_folder(tmp_path)
    (tmp_path / "prompts.jsonl").write_text(prompt_lines(3) + "{\n")
    put(tmp_path, {"runs/toy/prompts": Folder(), "runs/toy/prompts/log.txt": Link("/dev/full")})
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    done = salmon("run", "salmon.yaml", "--until", "prompts", cwd=tmp_path)
    said(done, "prompts.jsonl: line 4", "not JSON")


def test_neither_a_log_nor_an_error_can_be_written(tmp_path: Path) -> None:
    """The exit code says it: a stage's process on a disk that is full."""
    from salmon_core.run import processes

    (tmp_path / "error.json").mkdir()
    code = "from salmon_core import SalmonError; from salmon_core.run.processes import fail; fail(SalmonError('a'))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stdout=full, stderr=full)
    (tmp_path / "error.json").rmdir()
    (tmp_path / "log.txt").touch()
    error = processes.failure("sample", done.returncode, tmp_path / "log.txt")
    assert str(error) == f"{tmp_path}: could write neither its error nor its log (is the disk full?)"


def test_standard_output_that_is_full(tmp_path: Path) -> None:
    make_folder(tmp_path)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [SALMON, "plan", "salmon.yaml"], cwd=tmp_path, env=environment(), stdout=full, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in done.stderr


def test_a_device_is_written_to_and_stays_one(tmp_path: Path) -> None:
    """`-o /dev/stdout` and `-o >(...)` are no files to be replaced, and a link to a file stays a link."""
    from salmon_core.data.files import write_text

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        write_text(pipe, "a\n")
        assert reader.communicate()[0] == b"a\n"
    assert pipe.is_fifo()
    put(tmp_path, {"there": "older\n", "link": Link("there"), "new": Link("made")})
    write_text(tmp_path / "link", "newer\n")
    write_text(tmp_path / "new", "first\n")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_text() == "newer\n"
    assert (tmp_path / "made").read_text() == "first\n"


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    from bad_case import growing_to

    from salmon_core.data.files import append_line

    file = tmp_path / "events.jsonl"
    append_line(file, "a" * 99)
    with growing_to(150), pytest.raises(OSError, match="File too large") as error:
        append_line(file, "b" * 99)
    assert error.value.filename == str(file)
    assert file.read_text() == "a" * 99 + "\n"


def test_a_place_for_scores_that_cannot_be_is_said_before_anything_is_scored(
    finished_world: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished_world, tmp_path, dirs_exist_ok=True)
    saved = tmp_path / "runs/toy/config.json"
    saved.write_text(json.dumps({**json.loads(saved.read_text()), "base": str(tmp_path)}))
    world = tmp_path / "world.py"
    place = "        return float(rollout.completion.count"
    assert place in world.read_text()
    world.write_text(world.read_text().replace(place, f"        open('scored', 'w').close()\n{place}"))
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    said(
        salmon("score", "runs/toy", "rows.jsonl", "-o", "rules.yaml/s.jsonl", cwd=tmp_path),
        "rules.yaml",
        "Not a directory",
    )
    assert not (tmp_path / "scored").exists()
    assert salmon("score", "runs/toy", "rows.jsonl", "-o", "s.jsonl", cwd=tmp_path).code == 0
    assert (tmp_path / "scored").exists()
    assert (tmp_path / "s.jsonl").read_text().count("\n") == 1
