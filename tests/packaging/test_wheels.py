"""Wheels and source archives in an empty environment are whole, and a new user gets on with them (`make dist-check`).

They are those of the folder SALMON_DIST, which `make dist` made; without it they are built here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from check_dist import Pages, walk
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = [ROOT, *sorted((ROOT / "plugins").glob("salmon-*")), *sorted((ROOT / "backends").glob("salmon-*"))]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [pytest.mark.slow, pytest.mark.dist]


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all of them."""
    if "SALMON_DIST" in os.environ:
        return Path(os.environ["SALMON_DIST"]).resolve()
    folder = tmp_path_factory.mktemp("dist")
    for each in DISTRIBUTIONS:
        argv = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
        subprocess.run(argv, cwd=each, check=True, capture_output=True, text=True)
    return folder


@pytest.fixture(scope="session")
def wheels(dist: Path) -> list[Path]:
    return sorted(dist.glob("*.whl"))


@pytest.fixture(scope="session")
def python(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with our wheels and, of the one that runs this, what is not ours."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    argv = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-compile", *map(str, wheels)]
    subprocess.run(argv, check=True, capture_output=True, text=True)
    (folder / "borrowed").mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if "salmon" not in each.name:  # neither our code nor what says that it is installed
            (folder / "borrowed" / each.name).symlink_to(each)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(f"{folder / 'borrowed'}\n")
    return python


def test_one_version_everywhere(wheels: list[Path]) -> None:
    assert len(wheels) == len(DISTRIBUTIONS)
    assert {wheel.name.split("-")[1] for wheel in wheels} == {"0.1.0"}


def test_source_archives_build_the_same_wheels(dist: Path, wheels: list[Path], tmp_path: Path) -> None:
    """What somebody builds from an archive is what the checkout built: no file is missing there."""
    for archive in sorted(dist.glob("*.tar.gz")):
        with tarfile.open(archive) as opened:
            opened.extractall(tmp_path, filter="data")
    argv = [sys.executable, "-c", BUILD, str(tmp_path / "built"), *map(str, sorted(tmp_path.glob("salmon_*")))]
    subprocess.run(argv, check=True, capture_output=True, text=True)

    def contents(wheel: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(wheel) as opened:
            return {name: opened.read(name) for name in opened.namelist()}

    assert [each.name for each in sorted((tmp_path / "built").glob("*.whl"))] == [each.name for each in wheels]
    for wheel in wheels:
        assert contents(tmp_path / "built" / wheel.name) == contents(wheel), wheel.name


BUILD = """
import os, sys
from hatchling import build
out, *folders = sys.argv[1:]
os.mkdir(out)
for each in folders:
    os.chdir(each)
    build.build_wheel(out)
"""


def test_what_they_need_is_there_in_the_versions_they_name(python: Path) -> None:
    """Extras aside, which `make dist-check-index` installs."""
    done = subprocess.run([str(python), "-m", "pip", "check"], capture_output=True, text=True)
    assert not [line for line in done.stdout.splitlines() if line.startswith("salmon-")], done.stdout


def test_every_wheel_is_typed_and_licensed(wheels: list[Path]) -> None:
    for wheel in wheels:
        names = zipfile.ZipFile(wheel).namelist()
        assert any(name.endswith("/py.typed") for name in names), wheel.name
        assert any(name.endswith("licenses/LICENSE") for name in names), wheel.name
        assert not any(name.startswith(("tests/", "docs/", "examples/")) for name in names), wheel.name


def test_plugins_are_found_and_none_is_broken(python: Path, tmp_path: Path) -> None:
    argv = [str(python), "-m", "salmon_core", "plugins", "--json"]
    done = subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True, text=True)
    listed = json.loads(done.stdout)
    assert listed["broken"] == []
    assert not [item for item in listed["components"] if item["broken"]]
    names = {(item["kind"], item["name"]) for item in listed["components"]}
    assert {
        ("principle_sets", "salmon-rm"),
        ("judges", "self-judge"),
        ("labellers", "salmon"),
        ("commands", "serve"),
        ("bonuses", "length"),
        ("engines", "transformers"),
        ("backends", "trl"),
        ("models", "minnow"),
        ("evaluators", "rm-accuracy"),
    } <= names


def test_modules_come_from_the_wheels(python: Path, tmp_path: Path) -> None:
    code = "import salmon_core, salmon_trl, salmon_minnow; print(salmon_core.__file__, salmon_minnow.__file__)"
    done = subprocess.run([str(python), "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert str(ROOT) not in done.stdout


def test_the_example_checks(python: Path, tmp_path: Path) -> None:
    argv = [str(python), "-m", "salmon_core", "check", "--quick", str(ROOT / "examples" / "minnow.yaml")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [str(python), "-m", "salmon_core", "principles", "show", "salmon-rl"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "honest-and-accurate" in done.stdout


def test_a_new_users_walk(python: Path, tmp_path: Path) -> None:
    """From the first command to the column of a bonus of one's own, in a browser too where there is one."""
    walk(python, tmp_path, ["--no-deps", "--no-build-isolation", "-e", "."], SHORT, look)


#: two steps of each training, and the least that is measured
SHORT = ("--set", "evaluate=[reward-shift]")


def look(pages: Pages) -> None:
    """In a real browser: the first screen answers, and rollouts are sorted by what the bonus gave them."""
    if CHROMIUM is None:
        return
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{pages.url}/?token={pages.token}")
        answered = page.locator("#verdict")
        box = answered.bounding_box()
        assert "Did it work?" in answered.inner_text()
        assert box["y"] + box["height"] <= 900, "the verdict is not on the first screen"
        page.click("text=Rollouts")
        page.wait_for_selector("#rows tbody tr")
        page.select_option("[name=sort]", "reward: my-words")
        page.wait_for_url("**sort=reward*")
        heads = page.locator("#rows th[scope=col]").all_inner_texts()
        place = heads.index("my-words")
        cells = page.locator(f"#rows tbody tr > :nth-child({place + 1})").all_inner_texts()
        given = [float(each) for each in cells]
        assert given == sorted(given, reverse=True)
        assert max(given) <= 0 > min(given), given
        browser.close()


# -- the core alone ----------------------------------------------------------------------------------------------------


def needed(name: str, found: set[str]) -> set[str]:
    """The distributions that one needs, by name; extras left out."""
    if name not in found:
        found.add(name)
        for line in metadata.requires(name) or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                needed(canonicalize_name(requirement.name), found)
    return found


@pytest.fixture(scope="module")
def core_alone(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with salmon-core and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    (wheel,) = (wheel for wheel in wheels if wheel.name.startswith("salmon_core-"))
    zipfile.ZipFile(wheel).extractall(site)
    for name in needed("salmon-core", set()) - {"salmon-core"}:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] != ".."}:
            target = site / top
            if top != "__pycache__" and not target.exists():
                target.symlink_to(Path(str(distribution.locate_file(top))))
    return folder / "bin" / "python"


OWN = """
from salmon_core import Component, hookimpl
from salmon_core.api import Engine, Judge, Labeller, Labels, Template

PLAIN = Template(judge="{instruction} {first} {second}", principle="{principle}", verdict="?", reward="{instruction}",
                 score="!", markers=())


class NoEngine(Engine):
    def codec(self, model):
        raise NotImplementedError


class NoJudge(Judge):
    def judge(self, pairs, principles, context):
        return []


class NoLabels(Labeller):
    def label(self, pairs, judgments, principles, rng):
        return Labels(())


@hookimpl
def salmon_engines():
    yield Component("none", NoEngine, "opens nothing")


@hookimpl
def salmon_judges():
    yield Component("none", NoJudge, "says nothing")


@hookimpl
def salmon_labellers():
    yield Component("none", NoLabels, "labels nothing")


@hookimpl
def salmon_templates():
    yield Component("plain", PLAIN, "plain")
"""


def test_the_core_alone_lists_explains_and_checks(core_alone: Path, tmp_path: Path) -> None:
    """It knows no plugin, in strings either: what is missing is said by its kind."""

    def salmon(*args: str) -> subprocess.CompletedProcess[str]:
        argv = [str(core_alone), "-m", "salmon_core", *args]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)

    listed = json.loads(salmon("plugins", "--json").stdout)
    assert {item["distribution"] for item in listed["components"]} == {"salmon-core"}
    assert listed["broken"] == []
    shown = salmon("principles", "show", "salmon-rl")
    assert "honest-and-accurate" in shown.stdout
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    (tmp_path / "model").mkdir()
    text = "run: {name: alone}\npolicy: {model: ./model}\nprompts: prompts.jsonl\n"
    config = tmp_path / "salmon.yaml"
    config.write_text(text)
    refused = salmon("check", "salmon.yaml")
    assert refused.returncode == 2
    for kind in ("engine", "judge", "labeller", "template", "backend"):
        assert f"no installed plugin offers a {kind}" in refused.stderr.replace("an engine", "a engine"), refused.stderr
    (tmp_path / "own.py").write_text(OWN)
    config.write_text(text + "plugins: [own.py]\nreward: {rm_weight: 0}\ntrain: {algorithm: none}\n")
    checked = salmon("check", "--quick", "salmon.yaml")  # this engine opens nothing
    assert checked.returncode == 0, checked.stderr
    assert "train         none" in checked.stdout
    assert salmon("plan", "salmon.yaml").returncode == 0
