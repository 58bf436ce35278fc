"""Built wheels in an empty environment are whole: modules, bundled sets, the world's model, entry points."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

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
        ("generators", "self-judge"),
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
