"""`salmon init`: the starting point that this plugin brings, and the core's own for every other model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from salmon_core.config.resolve import load

SALMON = Path(sys.executable).parent / "salmon"
SECOND = """
from salmon_core import Component, hookimpl
from salmon_core.api import Starter


@hookimpl
def salmon_starters():
    yield Component("second", STARTER, "for a test")
"""


def init(folder: Path, *args: str, starter: str = "") -> tuple[int, str]:
    """`salmon init FOLDER ARGS`; `starter` is the expression of another installed plugin's starting point."""
    env = {**os.environ, "COLUMNS": "200"}
    if starter:
        place = folder.parent / "installed"
        info = place / "second-1.0.dist-info"
        info.mkdir(parents=True)
        (place / "second.py").write_text(SECOND.replace("STARTER", starter))
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: second\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[salmon]\nsecond = second\n")
        env["PYTHONPATH"] = str(place)
    argv = [str(SALMON), "init", str(folder), *args]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("args", [(), ("--model", "plugin:minnow")])
def test_without_a_model_the_only_starting_point_is_taken(args: tuple[str, ...], tmp_path: Path) -> None:
    code, text = init(tmp_path / "first", *args)
    assert code == 0, text
    assert sorted(file.name for file in (tmp_path / "first").iterdir()) == [".salmon-schema.json", "salmon.yaml"]
    config = load(tmp_path / "first/salmon.yaml")
    assert (config.config.run.name, config.config.policy.model) == ("first", "plugin:minnow")
    assert [spec.name for spec in config.evaluators] == ["minnow-oracle", "rm-accuracy", "reward-shift"]
    assert config.labeller.options["repeats"] == 12
    assert "backend" not in (tmp_path / "first/salmon.yaml").read_text()  # the installed one


def test_any_other_model_gets_the_general_one(tmp_path: Path) -> None:
    code, text = init(tmp_path / "own", "--model", "some-lab/some-model")
    assert code == 0, text
    assert sorted(file.name for file in (tmp_path / "own").iterdir()) == [
        ".salmon-schema.json", "principles.yaml", "prompts.jsonl", "salmon.yaml",
    ]  # fmt: skip
    written = (tmp_path / "own/salmon.yaml").read_text()
    config = load(tmp_path / "own/salmon.yaml")
    assert config.config.policy.model == "some-lab/some-model"
    assert config.judge_principles.names == ("concise", "helpful", "honest")
    assert [bonus.label for bonus in config.bonuses] == ["missing-stop"]
    assert [spec.name for spec in config.evaluators] == ["rm-accuracy", "reward-shift"]
    assert "minnow" not in written
    prompts = [json.loads(line)["prompt"] for line in (tmp_path / "own/prompts.jsonl").read_text().splitlines()]
    assert len(set(prompts)) == len(prompts) == 30


@pytest.mark.parametrize("model", ["a: b", "models/{mine} #2", "'quoted'", "2026", "null", "äöü/モデル"])
def test_names_that_yaml_reads_otherwise(model: str, tmp_path: Path) -> None:
    code, text = init(tmp_path / "own", "--model", model, "--name", "1e3")
    assert code == 0, text
    values = yaml.safe_load((tmp_path / "own/salmon.yaml").read_text())
    assert (values["policy"]["model"], values["run"]["name"]) == (model, "1e3")
    assert yaml.safe_load((tmp_path / "own/principles.yaml").read_text())["name"] == "1e3"


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/salmon.yaml").write_text("mine\n")
    code, text = init(tmp_path / "own", "--model", "m")
    assert code == 0
    assert "kept" in text
    assert (tmp_path / "own/salmon.yaml").read_text() == "mine\n"
    assert (tmp_path / "own/principles.yaml").exists()


def test_two_starting_points_have_to_be_chosen_from(tmp_path: Path) -> None:
    second = 'Starter({"salmon.yaml": "run: {{name: {name}}}\\npolicy: {{model: {model}}}\\n"}, model="plugin:second")'
    code, text = init(tmp_path / "own", starter=second)
    assert code == 1
    assert (
        "--model: no model is named (a hub id or a folder; installed starting points: plugin:minnow, plugin:second"
        in text
    )
    assert not (tmp_path / "own").exists()


def test_a_starting_point_of_another_plugin(tmp_path: Path) -> None:
    second = 'Starter({"salmon.yaml": "run: {{name: {name}}}\\npolicy: {{model: {model}}}\\n"}, model="plugin:second")'
    code, text = init(tmp_path / "own", "--model", "plugin:second", starter=second)
    assert code == 0, text
    line, _, written = (tmp_path / "own/salmon.yaml").read_text().partition("\n")
    assert line == "# yaml-language-server: $schema=./.salmon-schema.json"
    assert written == "run: {name: own}\npolicy: {model: plugin:second}\n"


@pytest.mark.parametrize("text", ["run: {name}", "run: {0}", "run: {"])
def test_a_starting_point_that_cannot_be_filled_in(text: str, tmp_path: Path) -> None:
    second = f'Starter({{"salmon.yaml": {text.replace("name", "nmae")!r}}}, model="plugin:second")'
    code, said = init(tmp_path / "own", "--model", "plugin:second", starter=second)
    assert code == 1
    assert "plugin second, starting point for plugin:second: " in said
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("starter", ['"a text"', '"second:nothing"', '"no_such_module:X"'])
def test_a_broken_starting_point_stands_in_nobodys_way(starter: str, tmp_path: Path) -> None:
    code, text = init(tmp_path / "own", starter=starter)
    assert code == 0, text
    assert "passed over: plugin second" in text
    assert (tmp_path / "own/salmon.yaml").exists()
