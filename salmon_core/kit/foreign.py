"""What steps need that run in a trainer's own interpreter, where no salmon is installed: errors and whole files.

The standard library is all this uses. A plan puts a copy into the stage's folder (`LaunchPlan(files=copy())`), and what
runs there imports the copy. The folder of this module itself must not be on a path: its `statistics` would hide
Python's own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

#: the copy's name in a stage's folder
NAME = "salmon_foreign.py"


def copy() -> dict[str, str]:
    """This module as one of the `files` of a plan."""
    return {NAME: Path(__file__).read_text(encoding="utf-8")}


class Refused(Exception):
    """A step cannot do what it was asked: what was wrong, where, and what to do about it."""

    def __init__(self, message: str, where: str = "", hint: str = ""):
        super().__init__(message)
        self.message, self.where, self.hint = message, where, hint


def leave_error(folder: Path, message: str, *, where: str | None = None, hint: str | None = None) -> None:
    """Leaves a failure's reason in `error.json`, which the pipeline shows.

    The first reason stays: of several processes, the one that fails first knows best.
    """
    aside = folder / f"error.json.{os.getpid()}.tmp"
    aside.write_text(json.dumps({"message": message, "where": where or None, "hint": hint or None}), encoding="utf-8")
    try:
        os.link(aside, folder / "error.json")
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        if not (folder / "error.json").exists():
            os.replace(aside, folder / "error.json")
    aside.unlink(missing_ok=True)


def leave_note(folder: Path, text: str) -> None:
    """Tells whoever watches the run what a person should know.

    Args:
        folder: the stage's.
    """
    print(text, file=sys.stderr, flush=True)
    with (folder / "notes.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(text) + "\n")


def run(main: Callable[[], None]) -> None:
    """Runs a step in its working directory, the stage's folder; a refusal ends it with exit code 1."""
    try:
        main()
    except Refused as error:
        leave_error(Path.cwd(), error.message, where=error.where, hint=error.hint)
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def write_text(path: Path, text: str) -> None:
    """A file that is there whole, or not at all; folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".tmp")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
