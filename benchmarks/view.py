"""How long `salmon view` lets one wait: first paint, filter, search and sort over many rollouts, in a real browser.

    python benchmarks/view.py [--rows 100000] [--batch 400] [--beside CHECKOUT]

Makes a run's folder with so many rollouts, starts the server on it, and measures in headless Chromium: the first paint
of the overview and of the list of rollouts while the server has only begun to read them, how long it took until rows
stood there, and from an input to the new rows in the page, also just after a batch came. Medians of some, and the
slowest of each filter. Exit code 1 where first paint or a filter takes too long. With --beside, the same of the code in
another folder (`git worktree add CHECKOUT COMMIT`), in turns.

Needs chromium, and playwright (`pip install playwright`).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from salmon_core.data.parquet import write_rows
from salmon_core.data.rollouts import ROLLOUTS

#: what is promised, in milliseconds
PAINT, FILTER = 1500, 300
#: how often each filter is measured
_TIMES = 5
WORDS = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "river",
    "salmon",
    "swims",
    "up",
    "where",
    "cold",
    "water",
    "runs",
    "over",
    "stones",
    "fish",
    "answer",
    "because",
    "perhaps",
    "never",
]
CATEGORIES = ("general", "reasoning", "red-teaming")
NAMES = ("honest", "helpful", "vivid", "brief")
#: from an input to the rows that it asks for
_CHANGED = """
([name, value]) => new Promise((done) => {
  const rows = document.getElementById("rows"), field = document.getElementById("filters").elements[name];
  const started = performance.now();
  new MutationObserver((_, observer) => {
    observer.disconnect();
    requestAnimationFrame(() => done(performance.now() - started));
  }).observe(rows, { childList: true });
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
})
"""
_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=400, help="rollouts in a file")
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="whose code is measured as well")
    args = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "many"
        make(run, args.rows, args.batch)
        found = {"here": measure(run, Path(folder), chromium, args.batch)}
        if args.beside is not None:
            found = {"there": measure(run, Path(folder), chromium, args.batch, args.beside), **found}
            for name, checkout in (("there", args.beside), ("here", None)):
                again = measure(run, Path(folder), chromium, args.batch, checkout)
                for what, each in again.items():
                    found[name][what].took += each.took
    print(
        f"{args.rows:,} rollouts in {-(-args.rows // args.batch)} files; milliseconds in the browser, and the slowest"
    )
    print(f"  {'':44} {' '.join(f'{name:>15}' for name in found)}")
    for what, own in found["here"].items():
        columns = " ".join(f"{each[what]!s:>15}" for each in found.values())
        said = (
            "" if own.limit is None else f"  at most {own.limit}" if own.holds else f"  TOO LONG: at most {own.limit}"
        )
        print(f"  {what:44} {columns}{said}")
    sys.exit(not all(each.holds for each in found["here"].values()))


@dataclass
class Times:
    """Of one thing that was done, in milliseconds.

    Attributes:
        limit: of the median; None: none is promised.
    """

    took: list[float]
    limit: int | None = None

    @property
    def holds(self) -> bool:
        """Whether it keeps to its limit."""
        return self.limit is None or median(self.took) <= self.limit

    def __str__(self) -> str:
        slowest = f" {max(self.took):6.0f}" if len(self.took) > 1 else " " * 7
        return f"{median(self.took):.0f}{slowest}"


def measure(run: Path, folder: Path, chromium: str, batch: int, checkout: Path | None = None) -> dict[str, Times]:
    """All of it, with a server and a browser of its own.

    Args:
        checkout: whose code serves; None: this one.
    """
    from playwright.sync_api import sync_playwright

    server, values = started(run, folder, checkout)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            found = measured(browser, values, run, batch)
            browser.close()
            return found
    finally:
        server.terminate()
        server.wait(30)


def measured(browser: Any, values: dict[str, str], run: Path, batch: int) -> dict[str, Times]:
    """By what was done: how long it took."""
    found: dict[str, Times] = {}
    page = browser.new_page()
    begun = time.perf_counter()
    page.goto(f"{values['url']}/runs/0/rollouts?token={values['token']}")
    found["first paint, rollouts, at once"] = Times([page.evaluate(_PAINT)], PAINT)
    page.wait_for_selector("#rows tbody tr", timeout=120_000)
    found["rows there, counted from the server's start"] = Times([(time.perf_counter() - begun) * 1000])
    for name in ("", "/rollouts"):
        page.goto(f"{values['url']}/runs/0{name}")
        page.wait_for_selector("html[data-ready]")
        found[f"first paint, {name.strip('/') or 'overview'}"] = Times([page.evaluate(_PAINT)], PAINT)
    for what, field, value in (
        ("search for a word in all texts", "q", "perhaps never"),
        ("search for what is nowhere", "q", "nowhere to be found"),
        ("search for a letter", "q", "a"),
        ("no search", "q", ""),
        ("one category", "category", CATEGORIES[1]),
        ("one principle", "principle", f"not {NAMES[2]}"),
        ("rewards from 2", "low", "2"),
        ("sort by change", "sort", "change"),
        ("sort by a component", "sort", "reward: rm"),
    ):
        found[f"filter: {what}"] = Times([_filter(page, field, value) for _ in range(_TIMES)], FILTER)
    came = []
    for _ in range(_TIMES):
        time.sleep(0.6)  # what was read counts as new for half a second
        index = len(list((run / "train-policy" / "rollouts").iterdir()))
        rng = random.Random(index)
        own = [row(rng, index, place, batch) for place in range(batch)]
        write_rows(run / "train-policy" / "rollouts" / f"part-{index:06d}-0.parquet", own, ROLLOUTS)
        came.append(_filter(page, "sort", "change"))
    found["filter: the same when a batch came"] = Times(came, FILTER)
    return found


def _filter(page: Any, field: str, value: str) -> float:
    took: float = page.evaluate(_CHANGED, [field, value])
    return took


def started(run: Path, folder: Path, checkout: Path | None) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """The server, as soon as it answers."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)  # of one that ended otherwise than in order
    argv = [sys.executable, "-m", "salmon_core", "view", str(run), "--no-browser", "--ready-file", str(ready)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    if checkout is not None:
        own = [checkout, *(checkout / "plugins").iterdir(), *(checkout / "backends").iterdir()]
        env["PYTHONPATH"] = os.pathsep.join(str(each.resolve()) for each in own)
    process = subprocess.Popen(argv, env=env, cwd=folder, stdout=subprocess.DEVNULL)
    while not ready.exists():
        if process.poll() is not None:
            raise SystemExit("the server ended")
        time.sleep(0.02)
    values: dict[str, str] = json.loads(ready.read_text())
    return process, values


def make(run: Path, rows: int, batch: int) -> None:
    """A run's folder with rollouts of about sixty words, four principles, and an alarm."""
    rng = random.Random(1)
    (run / "train-policy").mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"document": {"run": {"name": "many", "seed": 1}}}))
    events: list[dict[str, Any]] = [{"event": "RunStarted", "time": 0.0, "stages": ["train-policy"]}]
    events.append({"event": "StageStarted", "stage": "train-policy", "resumed": False})
    for index in range(-(-rows // batch)):
        own = [row(rng, index, place, rows // 4) for place in range(min(batch, rows - index * batch))]
        write_rows(run / "train-policy" / "rollouts" / f"part-{index:06d}-0.parquet", own, ROLLOUTS)
        mean = sum(each["reward"] for each in own) / len(own)
        file = {
            "event": "RolloutsLogged",
            "stage": "train-policy",
            "rollout_index": index,
            "file": "",
            "count": len(own),
        }
        step = {
            "event": "StepLogged",
            "stage": "train-policy",
            "step": index + 1,
            "values": {"reward": mean, "kl": index / 1e3},
        }
        events += [file, step]
    events += [{"event": "StageFinished", "stage": "train-policy", "manifest": {}}, {"event": "RunFinished"}]
    (run / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))


def row(rng: random.Random, index: int, place: int, prompts: int) -> dict[str, Any]:
    """One rollout."""
    drawn = rng.sample(NAMES, 2)
    score = rng.gauss(index / 100, 1.5)
    number = rng.randrange(prompts)
    text = " ".join(rng.choices(WORDS, k=rng.randrange(30, 90)))
    principles = [
        {"name": name, "text": f"The answer is {name}.", "negated": rng.random() < 0.2, "weight": None, "veto": False}
        for name in drawn
    ]
    return {
        "rollout_index": index,
        "row": number,
        "prompt_id": f"p{number}",
        "prompt": f"What does number {number} say of {rng.choice(WORDS)}?",
        "category": CATEGORIES[number % 3],
        "completion": text,
        "completion_ids": [1] * 60,
        "n_tokens": len(text) // 5,
        "stopped": True,
        "principles": principles,
        "reward": score - 0.1,
        "components": [("rm", score), ("length", -0.1)],
        "by_principle": [],
        "left_out": [],
        "vetoed": [],
        "text_ids": [],
        "step": index,
        "kl": abs(rng.gauss(0, 1)),
        "interventions": [],
    }


if __name__ == "__main__":
    main()
