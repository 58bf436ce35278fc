"""The command line: `python benchmarks/prove_all.py`, or `make prove-all`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from evidence.folder import EXAMPLE, ROOT, Folder
from evidence.page import write
from evidence.questions import QUESTIONS
from evidence.runner import run_all, wanted
from salmon_core.errors import SalmonError

SEEDS = 5


def main(argv: list[str] | None = None) -> int:
    """Runs what is not finished, and writes the page; exit code 1 where a run failed."""
    parser = argparse.ArgumentParser(description="All questions on the embedded world, and docs/evidence.md.")
    parser.add_argument("--only", nargs="*", default=list(QUESTIONS), choices=list(QUESTIONS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds 1 to N")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="seeds at once, a core each")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "evidence", help="results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "evidence.md")
    parser.add_argument("--example", type=Path, default=EXAMPLE, help="another configuration of the embedded world")
    parser.add_argument("--write-only", action="store_true", help="run nothing; the page of what is there")
    parser.add_argument("--any-code", action="store_true", help="also of runs that an earlier state of the code made")
    parser.add_argument("--list", action="store_true", help="run nothing; all runs, and whether each is finished")
    options = parser.parse_args(argv)
    questions = [QUESTIONS[name] for name in options.only]
    folder, seeds = Folder(options.folder, example=options.example), range(1, options.seeds + 1)
    try:
        if options.list:
            folder.prepare()
            for arm, seed in wanted(questions, seeds):
                state = "finished" if folder.finished(arm, seed) else "to do   "
                print(f"{state}  seed {seed}  {arm.folder}", flush=True)
            return 0
        failed = [] if options.write_only else run_all(questions, seeds, folder, jobs=options.jobs)
    except SalmonError as error:
        print(error, file=sys.stderr)
        return 1
    written = write(QUESTIONS, folder, options.page.resolve(), wanted=SEEDS, any_code=options.any_code)
    said = "is written" if written else f"is left as it is: {folder.path} has no finished run"
    print(f"{options.page} {said}", file=sys.stderr)
    for name in failed:
        print(f"FAILED: {name}", file=sys.stderr)
    return 1 if failed else 0
