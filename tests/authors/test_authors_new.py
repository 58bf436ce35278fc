"""`salmon new`: what it writes is in order as it is, can be installed, and passes its own tests."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from salmon_core.api.hooks import KINDS
from salmon_core.cli.authoring import NEW_KINDS
from salmon_core.cli.main import main

#: no word of a language, no module, as long as a name may be
LONGEST = "qu-" + "x" * 27
FILES = [word for word, kind in NEW_KINDS.items() if kind.file]


def new(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["new", *map(str, args)], catch_exceptions=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of every kind in `packages/`, every kind of file in `files/`, and both with the longest name."""
    folder = tmp_path_factory.mktemp("new")
    for word in NEW_KINDS:
        for name, place in ((f"my-{word}", "packages"), (LONGEST, "long")):
            done = new(word, name, "--path", folder / place / word)
            assert done.exit_code == 0, done.output
    for word in FILES:
        for name, place in ((f"own-{word}", "files"), (LONGEST, f"long-files/{word}")):
            done = new(word, name, "--file", "--path", folder / place)
            assert done.exit_code == 0, done.output
    return folder


def run(*argv: str | Path, cwd: Path, env: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *argv], cwd=cwd, env=env, capture_output=True, text=True)


def test_there_is_one_of_every_kind_but_models() -> None:
    """A model is a folder of weights, which nobody begins from a text."""
    assert {kind.kind for kind in NEW_KINDS.values()} == set(KINDS) - {"models"}


@pytest.mark.parametrize("place", ["packages", "long", "files", "long-files"])
def test_it_is_tidy(place: str, written: Path) -> None:
    """By ruff, with the settings of the package; of a file, with those that ruff has by itself."""
    alone = () if place in ("packages", "long") else ("--isolated",)
    rules = ("--select", "E,F,I,B,UP", "--ignore", "E501") if alone else ()
    for argv in (("check", "--no-cache", *alone, *rules, "."), ("format", "--no-cache", *alone, "--diff", ".")):
        done = run("ruff", *argv, cwd=written / place)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("word", NEW_KINDS)
def test_a_package_is_whole(word: str, written: Path) -> None:
    folder = written / "packages" / word
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["salmon"] == {f"my-{word}": f"salmon_my_{word}.plugin"}
    assert (folder / "src" / f"salmon_my_{word}" / "py.typed").is_file()
    assert f"salmon-my-{word}" in (folder / "README.md").read_text()
    assert folder.stat().st_mode & 0o777 == written.joinpath("packages").stat().st_mode & 0o777
    assert {path.name for path in written.joinpath("packages").iterdir()} == set(NEW_KINDS)
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "#[" not in text, path
            assert not re.search(r"@\w+@", text), path
            if path.suffix == ".py":
                assert ast.get_docstring(ast.parse(text)), path


def test_a_file_keeps_its_contract_and_is_used_by_a_configuration(tmp_path: Path) -> None:
    done = new("bonus", "own-words", "--file", "--path", tmp_path)
    assert done.output.splitlines()[-1].endswith("python -m pytest -q test_own_words.py")
    tested = run("pytest", "-q", "-p", "no:cacheprovider", "test_own_words.py", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    config = "run: {name: own}\nplugins: [own_words.py]\npolicy: {model: plugin:minnow, template: minnow}\n"
    config += (
        "prompts: prompts.jsonl\nreward:\n  rm_weight: 0\n  bonuses: [{name: own-words, weight: 2.0, wanted: 5}]\n"
    )
    (tmp_path / "salmon.yaml").write_text(config)
    checked = run("salmon_core", "check", "--quick", "salmon.yaml", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "2 x own-words" in checked.stdout


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "Calm", "calm_down", "-calm", "calm-", "calm--down", "1calm", "../calm", "a/b", "é"]
)
def test_bad_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = new("bonus", "--", name)
    assert done.exit_code == 1
    assert (
        done.output
        == f"error: NAME: {name!r} is no name for a plugin (small letters, digits and single dashes: my-plugin)\n"
    )
    assert not any(tmp_path.iterdir())


def test_names_that_are_too_long_or_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for args, message in (
        (("bonus", "x" * 31), "the name has 31 characters (at most 30)"),
        (("engine", "judge"), "salmon-judge 0.1.0 is installed already"),
        (("bonus", "salmon-core"), "salmon-core 0.1.0 is installed already"),
        (("bonus", "length"), "salmon-bonuses has a component 'length' of the kind bonuses"),
        (("command", "report"), "salmon has a command 'report'"),
        (("bonus", "json", "--file"), "a module json is installed, which json.py would hide"),
        (("command", "mine", "--file"), "a command is no single file (only an installed package can offer one"),
    ):
        done = new(*args)
        assert done.exit_code == 1
        assert message in done.output
    assert new("generator", "mine").exit_code == 2  # and says which kinds there are
    assert not any(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new("bonus", "salmon-calm-down").exit_code == 0  # the same as calm-down
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    for path in ("salmon-calm-down", "empty", "link"):
        done = new("bonus", "calm-down", "--path", path)
        assert done.exit_code == 1
        assert "is there already (choose another --path, or move it away)" in done.output
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "test_calm_down.py").write_text("mine\n")
    done = new("bonus", "calm-down", "--file")
    assert done.exit_code == 1
    assert "test_calm_down.py: is there already" in done.output
    assert not (tmp_path / "calm_down.py").exists()


def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = new("bonus", "calm-down", "--path", tmp_path / "file" / "inside")
    assert done.exit_code == 1
    assert done.output.startswith("error: ")
    assert f"{tmp_path / 'file'}: " in done.output


# -- installed ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_are_installed_and_pass_their_tests(written: Path, tmp_path: Path) -> None:
    """By pip, of built wheels; then their own tests, mypy's strict mode over all, and what salmon lists."""
    packages = [written / "packages" / word for word in NEW_KINDS]
    site = tmp_path / "site"
    argv = ("install", "-q", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", site)
    installed = run("pip", *argv, *packages, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    env = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    listed = json.loads(run("salmon_core", "plugins", "--json", cwd=tmp_path, env=env).stdout)
    assert listed["broken"] == []
    found = {(item["kind"], item["name"]): item for item in listed["components"]}
    for word, kind in NEW_KINDS.items():
        item = found[kind.kind, f"my-{word}"]
        assert (item["distribution"], item["version"], item["broken"]) == (f"salmon-my-{word}", "0.1.0", None)
    done = run("salmon_core", "my-command", "--help", cwd=tmp_path, env=env)
    assert "principles that CONFIG rewards" in done.stdout
    tests = [str(package / "tests") for package in packages]
    argv = ("-q", "-n", "2", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", str(tmp_path))
    tested = run("pytest", *argv, *tests, written / "files", cwd=tmp_path, env=env)
    assert tested.returncode == 0, tested.stdout[-4000:]
    sources = [str(package / part) for package in packages for part in ("src", "tests")]
    typed = run("mypy", "--strict", "--config-file", os.devnull, *sources, written / "files", cwd=tmp_path, env=env | {
        "MYPYPATH": os.pathsep.join(str(package / "src") for package in packages)})  # fmt: skip
    assert typed.returncode == 0, typed.stdout


def test_the_page_names_every_kind() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "new-plugin.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)`( \(package only\))? \| ", page, re.M)
    assert rows == [(word, "" if kind.file else " (package only)") for word, kind in NEW_KINDS.items()]
