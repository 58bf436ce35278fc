"""Built wheels in an empty environment are whole: modules, bundled sets, the world's model, entry points."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from check_dist import walk
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTIONS = [ROOT, *sorted((ROOT / "plugins").glob("salmon-*")), *sorted((ROOT / "backends").glob("salmon-*"))]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*argv, *map(str, DISTRIBUTIONS)], check=True, capture_output=True, text=True)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with our wheels; third-party packages are borrowed from the running one."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    argv = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--no-compile", *map(str, wheels)]
    subprocess.run(argv, check=True, capture_output=True, text=True)
    own = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    (Path(own) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_one_version_everywhere(wheels: list[Path]) -> None:
    assert len(wheels) == len(DISTRIBUTIONS)
    assert {wheel.name.split("-")[1] for wheel in wheels} == {"0.1.0"}


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
    argv = [str(python), "-m", "salmon_core", "check", str(ROOT / "examples" / "minnow.yaml")]
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


def test_a_new_users_first_commands(python: Path, tmp_path: Path) -> None:
    """A bonus of one's own, from the first command to its column; with a reward model in `make dist-check`."""
    without = ("--set", "reward.rm_weight=0", "--set", "evaluate=[]")
    walk(python, tmp_path, ["--no-deps", "--no-build-isolation", "-e", "."], without)


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
