"""Reads the documentation's code blocks, and does what they say.

A comment line before a block says what to do with it:

    <!-- file: NAME -->       its text is the file NAME in the page's folder
    <!-- fails -->            the commands end with another exit code than 0
    <!-- no-test: WHY -->     cannot run in a test; commands are parsed all the same, and there may be only a few

Commands are lines that begin with `$ `; the lines after one are its output, `...` standing for anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "own-model"
PAGES = sorted([ROOT / "README.md", EXAMPLE / "README.md", *(ROOT / "docs").rglob("*.md")])
#: pages that a test follows from top to bottom in a folder of their own
FOLLOWED = (
    ROOT / "docs" / "first-bonus.md",
    ROOT / "docs" / "engines.md",
    ROOT / "docs" / "own-backend.md",
    ROOT / "docs" / "serving.md",
    ROOT / "docs" / "steering.md",
    EXAMPLE / "README.md",
)

_BLOCK = re.compile(r"(?:^<!--\s*(?P<mark>[^\n]*?)\s*-->\n+)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block; `mark` is the comment before it."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        return self.mark.removeprefix("file:").strip() if self.mark.startswith("file:") else None

    @property
    def untested(self) -> bool:
        return self.mark.startswith("no-test:")


@dataclass(frozen=True)
class Command:
    """A command with the output the page shows."""

    line: str
    output: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["text"], found["mark"] or "")
        for found in _BLOCK.finditer(text)
    ]


def commands_of(block: Block) -> list[Command]:
    lines = re.split(r"^\$ ", block.text, flags=re.M)
    assert not lines[0].strip(), f"{block.name}: a console block begins with `$ `"
    return [Command(*part.split("\n", 1)) for part in lines[1:]]


def environment(*paths: Path) -> dict[str, str]:
    """Of a command; programs in `paths` come first, then those beside this interpreter."""
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200"}
    programs = [*map(str, paths), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {**os.environ, **own, "PATH": os.pathsep.join(programs)}


def execute(block: Block, folder: Path, env: Mapping[str, str], timeout: float = 300) -> None:
    """Runs a block's commands in a folder, and compares exit codes and outputs."""
    for command in commands_of(block):
        done = subprocess.run(
            ["bash", "-c", command.line], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout,
        )  # fmt: skip
        where = f"{block.name}: $ {command.line}\n{done.stdout}"
        assert (done.returncode != 0) == (block.mark == "fails"), f"exit code {done.returncode}\n{where}"
        assert matches(command.output, done.stdout), f"the page shows another output\n{where}"


def matches(shown: str, printed: str) -> bool:
    """Whether an output is as shown, but for white space and what `...` stands for."""
    if not shown.strip():
        return True
    lines = [" ".join(line.split()) for line in shown.strip().splitlines()]
    patterns = ["(?:.*\n)*?" if line == "..." else _line(line) + "\n" for line in lines]
    text = "".join(" ".join(line.split()) + "\n" for line in printed.strip().splitlines())
    return re.fullmatch("".join(patterns), text) is not None


def _line(shown: str) -> str:
    return ".*".join(map(re.escape, shown.split("...")))


def copy_example(folder: Path) -> Path:
    """The example as in a fresh checkout."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("model", "runs"), dirs_exist_ok=True)
    return folder


def follow(page: Path, folder: Path, env: Mapping[str, str]) -> None:
    """Does everything a page says, in order."""
    for block in blocks_of(page):
        if block.file is not None:
            target = folder / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            execute(block, folder, env)
        elif block.language == "python":
            run_python(block, folder, env)


def run_python(block: Block, folder: Path, env: Mapping[str, str]) -> None:
    """Runs a block in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", block.text], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{block.name}\n{done.stderr}"
