"""The pages in a real browser: at every size, light and dark, by keyboard alone, and on a run that goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import SALMON, environment
from view_world import BATCH, Viewer

from salmon_core.data.interventions import read_record
from salmon_core.data.rollouts import read_rollout_rows

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed: apt-get install chromium"),
]
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
ROOT = Path(__file__).resolve().parents[2]
PAGES = ("", "/rollouts", f"/rollouts/{BATCH}/0", "/answers", "/judge", "/reward", "/steer", "/try")
SIZES = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Tab:
    """A page that notes what goes wrong in it, and what it asks for from elsewhere."""

    def __init__(self, browser: Any, viewer: Viewer, width: int = 1280, scheme: str = "light"):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.context.set_default_timeout(60_000)
        self.page, self.viewer = self.context.new_page(), viewer
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        self.page.on("request", self._asked)
        self.page.goto(f"{viewer.url}/?token={viewer.token}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.viewer.url, "data:")):
            self.wrong.append(f"asks {request.url}")

    def open(self, path: str) -> Any:
        self.page.goto(self.viewer.url + path)
        self.page.wait_for_selector("html[data-ready]")
        return self.page

    def __enter__(self) -> Tab:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert not self.wrong


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_pages_fit_and_have_no_serious_fault(browser: Any, viewer: Viewer, width: int, scheme: str) -> None:
    """axe-core finds nothing serious; nothing is wider than the window, and no script fails."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    source = (Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    with Tab(browser, viewer, width, scheme) as tab:
        for path in PAGES:
            page = tab.open(f"/runs/0{path}")
            page.wait_for_selector("[data-load]", state="detached")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            if path == "":
                page.wait_for_selector(".uplot canvas")
                page.click("#curves-table summary")
            page.evaluate(source)
            found = page.evaluate("async () => (await axe.run()).violations")
            serious = [
                f"{each['id']}: {each['nodes'][0]['html'][:200]}"
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert not serious, (path, serious)
            assert page.title() != "owned"


def test_by_keyboard_alone(browser: Any, viewer: Viewer) -> None:
    """Skip link, menu, filters, a row, back; the focus is always seen."""
    with Tab(browser, viewer) as tab:
        page = tab.open("/runs/0")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page = tab.open("/runs/0")
        reach(page, "document.activeElement.textContent === 'Rollouts'")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs/0/rollouts")
        page.wait_for_selector("[data-load]", state="detached")
        reach(page, "document.activeElement.name === 'q'")
        page.keyboard.type("plain answer")
        until(page, "location.search.includes('q=plain+answer')")  # each letter may be answered; the last one is
        assert page.locator("#rows tbody tr").count() == 1
        reach(page, f"document.activeElement.textContent === '{BATCH}.2'")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/rollouts/{BATCH}/2")
        reach(page, "document.activeElement.dataset.fetch")
        page.keyboard.press("Enter")
        page.wait_for_selector("#read .answered")
        assert "A plain answer, Grüße." in page.inner_text("#read")


def until(page: Any, what: str, seconds: float = 60) -> None:
    """Waits until something holds in the page; its policy lets nobody else evaluate what is asked again and again."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(what):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def reach(page: Any, what: str) -> None:
    """Presses Tab until the focus is there."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(f"Boolean({what})"):
            return
    raise AssertionError(f"no Tab reaches {what}")


def test_the_playground_moves_with_its_sliders(browser: Any, viewer: Viewer) -> None:
    with Tab(browser, viewer) as tab:
        page = tab.open("/runs/0/try")
        page.wait_for_selector("fieldset.slider")
        page.fill("[name=prompt]", "What is it?")
        page.fill("[name=completion]", "<b>An answer</b> of no use")
        page.wait_for_selector("#score .big")
        first = page.inner_text("#score")
        assert page.locator("#score b", has_text="An answer").count() == 0
        page.fill("[name=new]", "The answer is <i>new</i>.")
        page.keyboard.press("Enter")
        until(page, "document.querySelector('#score').innerText.includes('new')")
        assert page.locator("fieldset i").count() == 0
        slider = page.locator("fieldset.slider [name=weight]").first
        slider.focus()
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        until(page, "!document.querySelector('#score').innerText.includes('new')")
        assert page.inner_text("#score") == first
        page.locator("fieldset.slider [name=negate]").first.check()
        until(page, "document.querySelector('#score').innerText.includes('not ')")
        page.click("text=Let the policy write")
        until(page, "!document.querySelector('[name=completion]').value.includes('of no use')")
        page.click("#show-read")
        page.wait_for_selector("#read .ruled")


def test_the_file_opens_from_the_disk_without_network(browser: Any, seen: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    subprocess.run([str(SALMON), "report", str(seen), "--html", str(out)], check=True, env=environment())
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text))
    page.goto(out.as_uri())
    page.wait_for_selector(".uplot canvas")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert "Did it work?" in page.inner_text("main")
    assert not wrong
    context.close()


def reward_model(folder: Path) -> Path:
    """One that was never trained, made of the embedded policy: it reads principles, and means nothing by them."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    import salmon_minnow

    base = Path(salmon_minnow.__file__).parent / "data" / "model"
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    torch.nn.init.normal_(model.score.weight, std=0.3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The embedded world, at PPO for as long as a test wants; returns the run's folder."""
    folder = tmp_path_factory.mktemp("training")
    config = yaml.safe_load((ROOT / "examples" / "minnow.yaml").read_text(encoding="utf-8"))
    config["reward_model"] = {"path": str(reward_model(folder / "rm"))}
    options = config["train"]["options"] | {"generation_batch_size": 16, "total_batch_size": 16, "num_iterations": 1}
    options |= {"per_device_train_batch_size": 16, "max_steps": 600, "log_rollouts_every": 1}
    config["train"]["options"] = options
    config |= {"evaluate": [], "expect": []}
    (folder / "live.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with (folder / "log.txt").open("wb") as log:
        argv = [str(SALMON), "run", "live.yaml"]
        process = subprocess.Popen(argv, cwd=folder, env=environment(), stdout=log, stderr=log)
    run = folder / "runs" / config["run"]["name"]
    try:
        deadline = time.monotonic() + 500
        while not list((run / "train-policy" / "rollouts").glob("part-000001-*")):
            assert process.poll() is None, (folder / "log.txt").read_text()
            assert time.monotonic() < deadline, (folder / "log.txt").read_text()
            time.sleep(0.2)
        yield run
    finally:
        process.terminate()
        process.wait(60)


def test_a_live_run_is_watched_and_steered(browser: Any, training: Path, tmp_path: Path) -> None:
    """Curves grow by themselves; what is applied from the page is shown from its batch on, and moves rewards."""
    points = "JSON.parse(document.getElementById('chart-reward').dataset.chart).x.length"
    words = "should not praise itself"
    with Viewer([training], tmp_path) as viewer, Tab(browser, viewer) as tab:
        page = tab.open("/runs/0")
        assert "Running" in page.inner_text("#verdict h1")
        page.wait_for_selector("#chart-reward .uplot canvas")
        before = page.evaluate(points)
        until(page, f"{points} > {before}")
        page = tab.open("/runs/0/steer")
        page.fill("[name=text]", words)
        page.fill("[name=reason]", "seen on the page")
        page.click("text=Preview")
        page.wait_for_selector("[data-apply]", timeout=120_000)
        assert "the reward model's score would change by" in page.inner_text("#preview")
        assert not read_record(training / "interventions.jsonl")
        page.keyboard.press("Enter")  # the button has the focus
        page.wait_for_selector("[data-done]", timeout=120_000)
        (entry,) = read_record(training / "interventions.jsonl")
        assert (entry.text, entry.reason) == (words, "seen on the page")
        page = tab.open("/runs/0")
        until(page, "document.getElementById('marks').innerText.includes('I1')")
        deadline = time.monotonic() + 120
        steered: list[dict[str, Any]] = []
        while not steered:
            assert time.monotonic() < deadline
            time.sleep(0.5)
            found = list(read_rollout_rows(training / "train-policy"))
            steered = [row for row in found if row["rollout_index"] >= entry.from_rollout]
        assert all(row["interventions"] == [1] for row in steered)
        assert all(row["principles"][0]["text"] == words for row in steered)
        assert not any(row["interventions"] for row in found if row["rollout_index"] < entry.from_rollout)
        row = steered[0]
        page = tab.open(f"/runs/0/rollouts/{row['rollout_index']}/0")
        assert words in page.inner_text("main")
        # The same answer without it: another reward, and with it the very one that training used.
        asked = {"prompt": row["prompt"], "completion": row["completion"], "principles": row["principles"]}
        rewards = []
        for principles in (row["principles"], row["principles"][1:]):
            answer = viewer.ask("/runs/0/try/score", asked | {"principles": principles})
            assert answer.status == 200, answer.text
            rewards.append(float(answer.text.partition('class="big">')[2].partition("<")[0]))
        bonus = row["components"]["missing-stop"]
        assert rewards[0] + bonus == pytest.approx(row["reward"], abs=2e-3)
        assert abs(rewards[0] - rewards[1]) > 1e-3
        assert json.loads((training / "interventions.jsonl").read_text())["who"]
