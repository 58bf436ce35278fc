"""Writes `docs/gallery.md`, and the pair of answers in the README, with what commands print of finished runs.

    python docs/make_gallery.py [--run RUN]      # RUN: runs/minnow, which `make quickstart` makes

Pictures of pages stand between `<!-- pictures -->` and `<!-- /pictures -->` of the gallery, which stay as they are.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PAGE, README = DOCS / "gallery.md", ROOT / "README.md"
#: characters in a line of what is shown
WIDTH = 110

HEAD = """\
# Gallery of reports

You get: what the commands say of a finished run, as they print it, so that you know what to expect of yours.

<!-- Written by docs/make_gallery.py from a finished run. Edit nothing but what is between the marks of pictures. -->

The run is the [quick start's](../README.md#quick-start), `runs/minnow`, on the embedded world; `make quickstart` makes
it, and `make gallery` this page of it. Times are of the machine at hand.
"""

#: title, what it shows, the words of the command; `RUN` stands for the run
SHOWN = (
    (
        "Did it work?",
        "Judge, policy and reward model, what each principle gave, signs of failure, promises.",
        ("report", "RUN"),
    ),
    (
        "One prompt, before and after",
        "Greedy answers, and what the reward model says under each principle.",
        ("try", "RUN"),
    ),
    ("What the reward model read", "The very text, in sections, with their tokens.", ("show", "reward", "RUN")),
    ("What was changed on the way", "The record of a run that nobody steered.", ("steer", "RUN")),
)
PICTURES = re.compile(r"<!-- pictures -->.*?<!-- /pictures -->", re.S)
NO_PICTURES = "<!-- pictures -->\n<!-- /pictures -->"
ANSWERS = re.compile(r"<!-- answers -->.*?<!-- /answers -->", re.S)


def printed(words: tuple[str, ...], run: Path, width: int = WIDTH) -> str:
    """What a command prints, in lines of at most `width`; ends this program where it fails."""
    argv = [str(run) if word == "RUN" else word for word in words]
    env = {**os.environ, "NO_COLOR": "1", "COLUMNS": str(width)}
    done = subprocess.run(
        [sys.executable, "-m", "salmon_core", *argv], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"salmon {' '.join(argv)}: exit code {done.returncode}\n{done.stderr}")
    lines = done.stdout.replace(str(ROOT) + os.sep, "").strip().splitlines()
    return "\n".join(part for line in lines for part in textwrap.wrap(line, width, drop_whitespace=False) or [""])


def gallery(run: Path) -> str:
    """The page."""
    before = PICTURES.search(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else None
    parts = [HEAD]
    for title, what, words in SHOWN:
        command = " ".join(["salmon", *words]).replace("RUN", "runs/minnow")
        parts.append(f"## {title}\n\n{what} `{command}`\n\n```text\n{printed(words, run)}\n```\n")
    parts.append(f"## Pictures\n\n{before[0] if before else NO_PICTURES}\n")
    return re.sub(r"[ \t]+$", "", "\n".join(parts), flags=re.M)


def answers(run: Path) -> str:
    """One prompt, both answers, and their rewards."""
    shown = printed(("try", "RUN"), run)
    table = shown.partition("the reward model's score of")[0].rstrip()
    return f"<!-- answers -->\nAs `salmon try runs/minnow` shows it:\n\n```text\n{table}\n```\n<!-- /answers -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "runs" / "minnow")
    run = parser.parse_args().run.resolve()
    if not (run / "report.json").is_file():
        raise SystemExit(f"{run} has no report.json: make quickstart")
    PAGE.write_text(gallery(run), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(ANSWERS.sub(lambda _: answers(run), text), encoding="utf-8")


if __name__ == "__main__":
    main()
