"""Two raters in two real browsers, by keyboard alone, one after the server was killed; every size, light and dark."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from study_world import HOSTILE, Served, by_length, by_words, hand_made, served

from salmon_study.order import steps_of
from salmon_study.ratings import all_ratings
from salmon_study.results import results_of
from salmon_study.task import Question, key_path, read_key, read_task

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed: apt-get install chromium"),
]
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
WORDS = ("ash", "bee", "cat", "deer", "eagle", "ferret", "gecko", "hedgehog")
KEYS = {"1": ("1", "ArrowLeft"), "2": ("2", "ArrowRight"), "0": ("0", "0")}
SIZES = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"))


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    with api.sync_playwright() as opened:
        yield opened


class Browser:
    """One of its own, which notes what goes wrong in it and what it asks for from elsewhere."""

    def __init__(self, playwright: Any, server: Served, rater: str, width: int = 1280, scheme: str = "light"):
        self.browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = self.browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        self.page, self.wrong = context.new_page(), list[str]()
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        own = (server.url, "data:")
        self.page.on("request", lambda asked: None if asked.url.startswith(own) else self.wrong.append(asked.url))
        self.page.goto(server.addresses[rater])

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.browser.close()
        if kind is None:
            assert not self.wrong

    def press(self, key: str) -> None:
        """Waits for the next page."""
        with self.page.expect_navigation():
            self.page.keyboard.press(key)

    def rate_by(self, rule: Callable[[str, str, str], str], most: int) -> int:
        """With keys, each choice by one or the other."""
        count = 0
        while count < most and self.page.locator("#rate").count():
            question = self.page.locator('#rate input[name="question"]').get_attribute("value")
            left, right = self.page.locator(".answer pre").all_inner_texts()
            self.press(KEYS[rule(question, left, right)][count % 2])
            count += 1
        return count


def test_two_raters_one_resumed(playwright: Any, tmp_path: Path) -> None:
    questions = (Question("short", "The answer is short."), Question("overall", ""))
    pairs = [(f"p{i}", WORDS[i], WORDS[(3 * i + 1) % 8], "b" if i % 3 else "a") for i in range(8)]
    study = hand_made(tmp_path, [(p, a, b, w) for p, a, b, w in pairs if a != b], questions)  # type: ignore[misc]
    task = read_task(study)
    with (
        served(study, "ann", "ben") as server,
        Browser(playwright, server, "ann") as ann,
        Browser(playwright, server, "ben", 390) as ben,
    ):
        assert ann.rate_by(by_length, 4) == 4
        assert ben.rate_by(by_words, task.steps) == task.steps
        assert "Thank you" in ben.page.inner_text("main")
        before = ann.page.inner_text("main")
        ann.rate_by(lambda *_: "0", 1)
        ann.press("u")
        assert ann.page.inner_text("main").endswith(before)
        server.process.kill()
        server.process.wait()
    with served(study, "ann", "ben") as server, Browser(playwright, server, "ann") as ann:
        assert ann.page.inner_text("main") == before
        assert ann.rate_by(by_length, task.steps) == task.steps - 4
        assert "Thank you" in ann.page.inner_text("main")
    key = read_key(key_path(study), task)
    found = results_of(task, key, all_ratings(study, task))
    rules = {"ann": by_length, "ben": by_words}
    for rater, rule in rules.items():
        for question in ("short", "overall"):
            counts = {"wins": 0, "ties": 0, "losses": 0}
            for step in steps_of(task, rater):
                first = key.items[step.item.id].first
                b_left = (step.left == "first") == (first == "b")
                sent = rule(question, *step.answers)
                if step.question.name == question:
                    outcome = "ties" if sent == "0" else "wins" if (sent == "1") == b_left else "losses"
                    counts[outcome] += 1
            tally = found.tally(question, rater)
            assert tally is not None
            assert {"wins": tally.wins, "ties": tally.ties, "losses": tally.losses} == counts


def test_hostile_texts_are_text(playwright: Any, tmp_path: Path) -> None:
    study = hand_made(tmp_path, [(HOSTILE, HOSTILE + "1", "x " * 2**19, "a")])
    with served(study, "ann") as server, Browser(playwright, server, "ann") as ann:
        page = ann.page
        assert page.title() == "1 of 2 · study"
        assert page.locator("main script, main img, main a").count() == 0
        assert page.locator("h1").count() == 1
        assert "<script>document.title" in page.inner_text("main")
        sizes = (
            "[...document.querySelectorAll('.answer pre')].map(e => [e.scrollHeight > e.clientHeight, e.clientHeight])"
        )
        long = [height for scrolls, height in page.evaluate(sizes) if scrolls]
        assert long
        assert max(long) <= 844 / 2
        box = page.locator("#rate button").first.bounding_box()
        assert box["y"] + box["height"] <= 844  # the buttons are there without scrolling


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_it_fits_and_has_no_serious_fault(playwright: Any, tmp_path: Path, width: int, scheme: str) -> None:
    """axe-core finds nothing serious; nothing is wider than the window; Tab and Enter do without the script's keys."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    source = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    texts = ("Would you explain how tides come about? " * 3, "Because of the moon. " * 40, "w" * 400)
    study = hand_made(tmp_path, [(*texts, "a")])  # type: ignore[list-item]
    with served(study, "ann") as server, Browser(playwright, server, "ann", width, scheme) as ann:
        page = ann.page
        for last in (False, False, True):
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.evaluate(source)
            found = page.evaluate("axe.run().then(found => found.violations)")
            assert not [each for each in found if each["impact"] in ("serious", "critical")], found
            if not last:
                for _ in range(12):
                    page.keyboard.press("Tab")
                    if page.evaluate("document.activeElement.value") == "1":
                        break
                assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
                ann.press("Enter")
        assert "Thank you" in page.inner_text("main")
