"""Pictures of `salmon view` and of a study for the documentation, `docs/images/*.png`.

    python docs/make_screenshots.py [NAME...]      # all of them, or those that are named

Of `runs/minnow` (`make quickstart`) and of `runs/hack`, the same world with a reward that its policy learns to exploit,
which are made where they are missing. Needs chromium and playwright.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SALMON = Path(sys.executable).parent / "salmon"
IMAGES = ROOT / "docs" / "images"
RUN, HACK = ROOT / "runs" / "minnow", ROOT / "runs" / "hack"
_HACK = (
    "run.name=hack",
    "reward_model={path: runs/minnow/train-rm/model}",
    "reward.principles.only=[helpful, language]",
    "train.options.max_steps=40",
    "monitors={}",
    "evaluate=[]",
    "expect=[]",
)
#: picture -> address, run, width, height, what to wait for, and what to press first
PICTURES: dict[str, tuple[str, int, int, str, str]] = {
    "view-overview": ("/runs/0", 1280, 1000, ".uplot canvas", ""),
    "view-rollouts": ("/runs/0/rollouts?sort=change", 1280, 760, ".uplot canvas", ""),
    "view-steer": ("/runs/1/steer", 1280, 760, "[data-use]", "[data-propose]"),
    "view-compare": ("/compare", 1280, 700, "table", ""),
    "view-narrow-dark": ("/runs/1", 390, 844, ".uplot canvas", ""),
}
#: a rater's page, of a study of the first run
STUDY = "study-rate"


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no chromium is installed")
    wanted = sys.argv[1:] or [*PICTURES, STUDY]
    if unknown := set(wanted) - {*PICTURES, STUDY}:
        raise SystemExit(f"there is no picture {', '.join(sorted(unknown))}; there are {', '.join([*PICTURES, STUDY])}")
    made()
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            with served(Path(folder), "view", str(RUN), str(HACK)) as values:
                for name in wanted:
                    if name != STUDY:
                        taken(browser, values, name)
            if STUDY in wanted:
                rated(browser, Path(folder))
        finally:
            browser.close()


def made() -> None:
    """The runs, where they are missing."""
    config = str(ROOT / "examples" / "minnow.yaml")
    if not (RUN / "report.json").exists():
        subprocess.run([str(SALMON), "run", config], cwd=ROOT, check=True)
    if not (HACK / "report.json").exists():
        words = [word for each in _HACK for word in ("--set", each.replace("runs/minnow", str(RUN)))]
        subprocess.run([str(SALMON), "run", config, *words], cwd=ROOT, check=True)


@contextmanager
def served(folder: Path, *words: str) -> Iterator[dict[str, Any]]:
    """A server's addresses, as soon as it answers, until the block ends."""
    ready = folder / "ready.json"
    argv = [str(SALMON), *words, "--no-browser", "--ready-file", str(ready)]
    server = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    try:
        while not ready.exists():
            if server.poll() is not None:
                raise SystemExit("the server ended")
            time.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        server.terminate()
        server.wait(30)


def taken(browser: Any, values: dict[str, Any], name: str) -> None:
    """One picture."""
    address, width, height, wanted, pressed = PICTURES[name]
    scheme = "dark" if name.endswith("dark") else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(180_000)
    page = context.new_page()
    page.goto(f"{values['url']}/?token={values['token']}")
    page.goto(values["url"] + address)
    page.wait_for_selector("html[data-ready]")
    page.wait_for_selector("[data-load]", state="detached")
    if pressed:
        page.fill("[name=sets]", "minnow-interventions")
        page.click(pressed)
    page.wait_for_selector(wanted)
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / f"{name}.png")
    print(IMAGES / f"{name}.png")
    context.close()


def rated(browser: Any, folder: Path) -> None:
    """The page of a rater, with some of it done."""
    file = str(folder / "study.json")
    words = [
        "study",
        "make",
        str(RUN),
        "--principles",
        "vivid,example",
        "--prompts",
        "12",
        "--seed",
        "3",
        "--out",
        file,
    ]
    subprocess.run([str(SALMON), *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with served(folder, "study", "rate", file, "--rater", "ann") as values:
        page = browser.new_page(viewport={"width": 1280, "height": 640})
        page.goto(values["raters"]["ann"])
        for key in "1202":
            with page.expect_navigation():
                page.keyboard.press(key)
        page.screenshot(path=IMAGES / f"{STUDY}.png")
        print(IMAGES / f"{STUDY}.png")


if __name__ == "__main__":
    main()
