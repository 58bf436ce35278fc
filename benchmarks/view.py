"""How long `salmon view` lets one wait: first paint, filter, search and sort over many rollouts, in a real browser.

    python benchmarks/view.py [--rows 100000] [--batch 400]

Makes a run's folder with so many rollouts, starts the server on it, and measures in headless Chromium: the first paint
of the overview and of the list of rollouts while the server has only begun to read them, how long it took until rows
stood there, and from an input to the new rows in the page. Exit code 1 where first paint or a filter takes too long.
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
from pathlib import Path
from typing import Any

from salmon_core.data.parquet import write_rows
from salmon_core.data.rollouts import ROLLOUTS

#: what is promised, in milliseconds
PAINT, FILTER = 1500, 300
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
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "many"
        make(run, args.rows, args.batch)
        server, values = started(run, Path(folder))
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                found = measured(browser, values)
                browser.close()
        finally:
            server.terminate()
            server.wait(30)
    print(f"{args.rows:,} rollouts in {-(-args.rows // args.batch)} files; milliseconds in the browser")
    for what, (took, limit) in found.items():
        said = "" if limit is None else f"  (at most {limit})" if took <= limit else f"  TOO LONG: at most {limit}"
        print(f"  {what:44} {took:7.0f}{said}")
    sys.exit(any(limit is not None and took > limit for took, limit in found.values()))


def measured(browser: Any, values: dict[str, str]) -> dict[str, tuple[float, int | None]]:
    """By what was done: milliseconds, and how many are allowed."""
    found: dict[str, tuple[float, int | None]] = {}
    page = browser.new_page()
    begun = time.perf_counter()
    page.goto(f"{values['url']}/runs/0/rollouts?token={values['token']}")
    found["first paint, rollouts, at once"] = (page.evaluate(_PAINT), PAINT)
    page.wait_for_selector("#rows tbody tr", timeout=120_000)
    found["rows there, counted from the server's start"] = ((time.perf_counter() - begun) * 1000, None)
    for name in ("", "/rollouts"):
        page.goto(f"{values['url']}/runs/0{name}")
        page.wait_for_selector("html[data-ready]")
        found[f"first paint, {name.strip('/') or 'overview'}"] = (page.evaluate(_PAINT), PAINT)
    for what, field, value in (
        ("search for a word in all texts", "q", "perhaps never"),
        ("search for what is nowhere", "q", "nowhere to be found"),
        ("no search", "q", ""),
        ("one category", "category", CATEGORIES[1]),
        ("one principle", "principle", f"not {NAMES[2]}"),
        ("rewards from 2", "low", "2"),
        ("sort by change", "sort", "change"),
        ("sort by a component", "sort", "reward: rm"),
    ):
        took = sorted(_filter(page, field, value) for _ in range(3))[1]
        found[f"filter: {what}"] = (took, FILTER)
    return found


def _filter(page: Any, field: str, value: str) -> float:
    took: float = page.evaluate(_CHANGED, [field, value])
    return took


def started(run: Path, folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """The server, as soon as it answers."""
    ready = folder / "ready.json"
    argv = [str(Path(sys.executable).parent / "salmon"), "view", str(run), "--no-browser", "--ready-file", str(ready)]
    process = subprocess.Popen(argv, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
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
