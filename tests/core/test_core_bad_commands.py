"""Plugins that fail at work, and commands that are asked for what cannot be: one message, no stack trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core_world import Cli, clear, document, make_folder, prompt_lines

from salmon_core import SalmonError
from salmon_core.config.resolve import load
from salmon_core.pipeline import Pipeline
from salmon_core.run.outputs import Outputs
from salmon_core.run.processes import Lock
from salmon_core.run.run import Run
from salmon_core.run.workers import Workers
from salmon_core.stages import stage as stage_named
from salmon_core.stages.base import Process
from salmon_core.stages.sources import Sources

# -- plugins that fail at work ---------------------------------------------------------------------------------------

FAULTS = {
    "raise": "RuntimeError: the bonus is out of order",
    "nan": "gave nan for rollout 0 of 2",
    "short": "gave 0 scores for 2 rollouts",
    "text": "could not convert string to float",
    "none": "NoneType",
}


@pytest.mark.parametrize("how", FAULTS)
def test_a_faulty_bonus_names_its_owner(how: str, world: Path, cli: Cli) -> None:
    rows = '{"prompt": "Why?", "completion": "Because."}\n' * 2
    (world / "rows.jsonl").write_text(rows)
    saved = json.loads((world / "runs/toy/config.json").read_text())
    saved["document"]["reward"]["bonuses"] = [{"name": "faulty", "how": how, "weight": 1.0, "label": None}]
    saved["document"]["reward"]["rm_weight"] = 0.0
    saved["base"] = str(world)
    (world / "runs/toy/config.json").write_text(json.dumps(saved))
    done = cli("score", "runs/toy", "rows.jsonl", "-o", "scores.jsonl")
    assert done.code == 1
    assert str(world / "world.py") in done.err
    assert "'faulty'" in done.err
    assert FAULTS[how] in done.err
    clear(done.text)
    assert not (world / "scores.jsonl").exists()


def test_a_failing_trainer(world: Path, cli: Cli) -> None:
    done = cli("run", "salmon.yaml", "--set", "train.options={steps: 1, fail: exit}", "--until", "train-policy")
    assert done.code == 1
    assert "train-policy, step toy: exit code 3: the trainer has run out of luck" in done.err
    clear(done.text)
    states = {stage: _manifest(world, stage)["status"] for stage in ("train-rm", "train-policy")}
    assert states == {"train-rm": "finished", "train-policy": "started"}


@pytest.mark.parametrize(("fail", "says"), [("nan", "the metric loss is nan"), ("nothing", "left no model")])
def test_a_trainer_that_ends_well_without_a_result(fail: str, says: str, tmp_path: Path) -> None:
    config = load(make_folder(tmp_path, train={**document()["train"], "options": {"fail": fail, "rollouts": 0}}))
    run = Run(tmp_path / "runs" / "toy", config)
    own, stage = stage_named("train-policy"), run.stage("train-policy")
    for name in own.worked(own.inputs(Sources(run))):
        (stage.path / name).parent.mkdir(parents=True, exist_ok=True)
        (stage.path / name).touch()
        Outputs(stage.path).add(stage.path / name)
    with Lock(run.path) as lock, pytest.raises(SalmonError, match=says):
        own.execute(own.inputs(Sources(run)), Process(run, stage, lock, lambda *_, **__: None, Workers(lock, run.path)))


def _manifest(folder: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs" / "toy" / stage / "manifest.json").read_text())
    return found


# -- other commands --------------------------------------------------------------------------------------------------


def test_other_commands(world: Path, cli: Cli) -> None:
    (world / "rows.jsonl").write_text('{"prompt": "Why?"}\n')
    (world / "file").write_text("")
    cases = {
        ("report", "nowhere"): "no run in this folder",
        ("score", "nowhere", "rows.jsonl"): "no run in this folder",
        ("score", "runs/toy", "rows.jsonl"): "rows.jsonl: line 1, column completion: is required",
        ("score", "runs/toy", "gone.jsonl"): "gone.jsonl",
        ("score", "runs/toy", "rows.jsonl", "--principle", "vague"): "no principle 'vague'",
        ("principles", "show", "harmles"): "did you mean 'harmless'?",
        ("principles", "import", "rows.jsonl", "file"): "is in no format that is known",
        ("run", "salmon.yaml", "--set", "evaluate=[]", "--until", "evaluate"): "no stage 'evaluate'",
        ("run", "salmon.yaml", "--max-cost", "5"): "--max-cost: there is nothing to limit",
        ("run", "salmon.yaml", "--set", "run.folder=file"): "file",
        ("init", "file"): "file",
    }
    for args, phrase in cases.items():
        done = cli(*args)
        assert done.code in (1, 2)
        assert phrase in done.err, args
        assert done.err.count("error:") == 1
        clear(done.text)


def test_files_that_salmon_did_not_write(world: Path, cli: Cli) -> None:
    (world / "rows.jsonl").write_text('{"prompt": "Why?", "completion": "So."}\n')
    (world / "none.jsonl").write_text("\n")
    assert cli("score", "runs/toy", "none.jsonl").err.endswith("error: none.jsonl: has no rows\n")
    (world / "folder.parquet").mkdir()
    assert cli("score", "runs/toy", "folder.parquet").err.endswith("error: folder.parquet: has no rows\n")
    assert "-1 is not in the range" in cli("score", "runs/toy", "rows.jsonl", "--rollout-index", "-1").err
    for text in ('{"expect": 3}', '{"expect": []}', '{"run": "toy", "expect": [], "principles": 3}', "{}"):
        (world / "runs/toy/report.json").write_text(text)
        done = cli("report", "runs/toy")
        assert done.code == 1
        assert "error: runs/toy: report.json is not as salmon run writes it" in done.err
        clear(done.text)
    for text in ("[]", "{}", '{"document": {}}', '{"document": {}, "base": 3, "source": "x"}', "\xff"):
        (world / "runs/toy/config.json").write_text(text, encoding="latin-1")
        done = cli("score", "runs/toy", "rows.jsonl")
        assert done.err == "error: runs/toy: there is no run in this folder\n"
    (world / "runs/toy/config.json").write_text('{"base": ".", "source": "config.json"}')
    assert "config.json: is empty" in cli("score", "runs/toy", "rows.jsonl").err


def test_names_that_look_like_markup(tmp_path: Path, cli: Cli) -> None:
    """Folders, metrics and what plugins say are shown as they are; a terminal's markup in them means nothing."""
    folder = tmp_path / "[/red] ünï 日本"
    config = make_folder(folder, expect=[{"metric": "evaluators.[/bold]", "max": 1}])
    with (folder / "world.py").open("a") as plugin:
        plugin.write("\n@hookimpl\ndef salmon_event(event):\n    raise KeyError('[/green]')\n")
    done = cli("run", config, "--set", f"run.folder={folder}/[/runs]")
    assert done.code == 1, done.text
    assert "observer failed" in done.err
    assert "[/green]" in done.err
    assert "evaluators.[/bold] = missing" in done.out
    assert f"report: {folder}/[/runs]/toy/report.json" in done.out
    assert cli("report", folder / "[" / "runs]" / "toy").out.count("[/bold]") == 1


def test_init_names_runs_that_can_run(tmp_path: Path, cli: Cli) -> None:
    assert cli("init", tmp_path / "Ünser (1) [/b]").code == 0
    assert cli("init", tmp_path / "日本").code == 0
    for made in tmp_path.rglob("salmon.yaml"):
        assert cli("check", made).code == 0
    refused = cli("init", "new", "--name", "a/b")
    assert refused.code == 1
    assert "'a/b' is no name for a run" in refused.err
    assert not (tmp_path / "new").exists()


def test_a_byte_order_mark_is_no_error(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path)
    (tmp_path / "prompts.jsonl").write_text(prompt_lines(), encoding="utf-8-sig")
    assert cli("run", config, "--until", "prompts").code == 0


def test_a_relative_path_from_elsewhere(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in a configuration are relative to it; the run's folder is not."""
    make_folder(tmp_path / "project")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli("run", "../project/salmon.yaml", "--until", "prompts").code == 0
    assert (tmp_path / "elsewhere/runs/toy/prompts/prompts.parquet").is_file()


def test_the_same_errors_from_python(tmp_path: Path) -> None:
    with pytest.raises(SalmonError, match="held_out"):
        load(make_folder(tmp_path, held_out=2))
    with pytest.raises(SalmonError, match="no stage 'sft'"):
        Pipeline(load(make_folder(tmp_path))).run(until="sft")
