"""Runs: what is done stays done, what changed is done anew, nothing is lost, rows come back as they were written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import RULES, SALMON, Cli, document, environment, make_folder, prompt_lines

from salmon_core import Prompt, worker
from salmon_core.config.resolve import load
from salmon_core.data import parquet as tables
from salmon_core.data.json import read_json, write_json
from salmon_core.pipeline import Pipeline
from salmon_core.records import Completion
from salmon_core.run.events import told
from salmon_core.run.folder import MadeFrom, StageFolder
from salmon_core.run.identity import file_identity, fingerprint
from salmon_core.run.run import Run
from salmon_core.stages.prompts import read_prompts
from salmon_core.stages.sample import pairs_of

RIVER = ["prompts", "sample", "judge", "verdict", "label", "train-rm", "train-policy", "evaluate"]

# -- fingerprints ------------------------------------------------------------------------------------------------


def marks(folder: Path, **changes: Any) -> dict[str, str]:
    """Each stage's fingerprint for the folder's files and a changed configuration."""
    config = folder / "salmon.yaml"
    config.write_text(yaml.safe_dump(document(**changes)))
    pipeline = Pipeline(load(config), folder=folder / "runs" / "toy")
    return {name: pipeline.sources.fingerprint(name) for name in pipeline.stages if name != "report"}


def section(name: str, **values: Any) -> dict[str, Any]:
    return {name: {**document()[name], **values}}


RERUNS: list[tuple[str, dict[str, Any], str | None]] = [
    ("the run's name", {"run": {"name": "other", "seed": 1}}, None),
    ("an expectation", {"expect": [{"metric": "rm.positive", "min": 0.9}]}, None),
    ("the seed", {"run": {"name": "toy", "seed": 2}}, "prompts"),
    ("held out", {"held_out": 0.5}, "prompts"),
    ("temperature", section("sample", temperature=0.9), "sample"),
    ("an option of the sampling engine", section("sample", engine={"name": "bytes", "scale": 2.0}), "prompts"),
    ("limits", {"limits": {"prompt": 65, "completion": 128, "total": 512}}, "prompts"),
    ("an option of the judge", section("judge", judge={"name": "toy-judge", "bias": 0.5}), "judge"),
    ("an option of the labeller", {"label": {"name": "toy-labels", "flip": 0.5}}, "label"),
    ("the judge's principles", section("judge", principles={"name": "rules.yaml", "only": ["kind"]}), "judge"),
    ("the trainer's options", section("reward_model", options={"steps": 5}), "train-rm"),
    ("a bonus", section("reward", bonuses=[]), "train-policy"),
    ("a bonus's weight", section("reward", bonuses=[{"name": "letters", "weight": 2.0}]), "train-policy"),
    ("an intervention", section("reward", interventions=[{"principle": "kind"}]), "train-policy"),
    ("negation", section("reward", principles={"name": "rules.yaml", "negate": ["kind"]}), "train-policy"),
    ("a weight", section("reward", principles={"name": "rules.yaml", "weights": {"kind": 3}}), "train-policy"),
    ("how many are shown", section("reward", show=2), "train-policy"),
    ("joint or mean", section("reward", combine="mean"), "train-policy"),
    ("RL options", section("train", options={"steps": 9}), "train-policy"),
    ("epochs", section("train", epochs=2), "train-policy"),
    ("the interpreter", section("train", python="/usr/bin/python3"), None),
    ("evaluators", {"evaluate": ["toy-count", "rm-accuracy"]}, "evaluate"),
]  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    make_folder(folder)
    return folder


@pytest.mark.parametrize(("what", "changes", "first"), RERUNS, ids=[what for what, _, _ in RERUNS])
def test_what_a_change_of_the_configuration_redoes(
    plain: Path, what: str, changes: dict[str, Any], first: str | None
) -> None:
    before, after = marks(plain), marks(plain, **changes)
    assert list(before) == RIVER
    redone = [stage for stage in RIVER if before[stage] != after[stage]]
    assert redone == ([] if first is None else RIVER[RIVER.index(first) :])


@pytest.mark.parametrize(
    ("file", "text", "first"),
    [
        ("prompts.jsonl", prompt_lines(13), "prompts"),
        ("policy/config.json", '{"other": "weights"}', "prompts"),
        ("rules.yaml", RULES.replace("is kind", "is very kind"), "judge"),
    ],
)
def test_what_a_change_of_a_file_redoes(tmp_path: Path, file: str, text: str, first: str) -> None:
    make_folder(tmp_path)
    before = marks(tmp_path)
    (tmp_path / file).write_text(text)
    after = marks(tmp_path)
    assert [stage for stage in RIVER if before[stage] != after[stage]] == RIVER[RIVER.index(first) :]


def test_a_changed_file_plugin_redoes_what_it_does(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path, dirs_exist_ok=True)
    before = marks(tmp_path)
    with (tmp_path / "world.py").open("a") as file:
        file.write("# changed\n")
    after = marks(tmp_path)
    assert {name for name in before if after[name] == before[name]} == set()  # its engine reads the prompts, too


def test_a_moved_project_is_not_redone(plain: Path, tmp_path: Path) -> None:
    before = marks(plain)
    shutil.copytree(plain, tmp_path / "moved")
    assert marks(tmp_path / "moved") == before


def test_stages_that_a_configuration_does_not_need(plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path, dirs_exist_ok=True)
    assert list(marks(tmp_path, reward_model={"path": "./policy"})) == ["prompts", "train-policy", "evaluate"]
    assert list(marks(tmp_path, **section("reward", rm_weight=0))) == ["prompts", "train-policy", "evaluate"]
    (tmp_path / "own.parquet").write_bytes(b"anything")
    assert list(marks(tmp_path, preferences="own.parquet", evaluate=[])) == ["prompts", "train-rm", "train-policy"]
    assert "train-policy" not in marks(tmp_path, train={"backend": "toy", "algorithm": "none"})
    (tmp_path / "sft.jsonl").write_text("{}")
    assert list(marks(tmp_path, sft={"data": "sft.jsonl", "backend": "toy"}))[1] == "sft"


# -- running again -----------------------------------------------------------------------------------------------


def test_a_finished_run(finished_world: Path) -> None:
    run = finished_world / "runs" / "toy"
    for stage in RIVER:
        manifest = json.loads((run / stage / "manifest.json").read_text())
        assert manifest["status"] == "finished"
        assert manifest["stage"] == stage
        assert manifest["fingerprint"] == fingerprint(manifest["made_from"])
        assert manifest["seconds"] > 0
        assert manifest["seeds"] == {"run": 1}
    report = json.loads((run / "report.json").read_text())
    assert list(report["stages"]) == sorted(RIVER)
    assert report["evaluators"]["toy-count"]["n"] == 2 * len(read_prompts(run / "prompts", "test"))
    assert not list(run.rglob("*.tmp"))
    assert not (run / "archive").exists()


def test_nothing_is_done_twice_and_outdated_results_are_kept(world: Path, cli: Cli) -> None:
    run = world / "runs" / "toy"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}
    again = cli("run", "salmon.yaml")
    assert again.code == 0
    assert again.err.count("already done") == len(RIVER)
    changed = cli("run", "salmon.yaml", "--set", "reward.show=2", "--until", "train-policy")
    assert changed.code == 0
    assert changed.err.count("already done") == len(RIVER) - 2
    assert "show changed; the old result is in" in changed.err
    (archived,) = (run / "archive").iterdir()
    assert archived.name.startswith("train-policy-")
    assert (archived / "rl_prompts.parquet").is_file()
    kept = [path for path in before if path.is_file() and path.stat().st_mtime_ns == before[path]]
    assert {path.parent.name for path in kept} >= {"prompts", "sample", "judge", "label", "data"}
    draws = tables.read_table(run / "train-policy" / "rl_prompts.parquet", tables.RL_PROMPTS)
    assert {len(row["principles"]) for row in draws} == {2}


def test_a_missing_shard_alone_is_made_again_and_equal(world: Path, cli: Cli) -> None:
    """As after a kill between two shards; with a torn file of the one at work lying about."""
    sample = world / "runs" / "toy" / "sample"
    lost = sample / "part-00001.parquet"
    before, others = lost.read_bytes(), {p: p.stat().st_mtime_ns for p in sample.glob("part-*") if p != lost}
    lost.unlink()
    (sample / "part-00001.parquet.tmp").write_bytes(before[:100])
    StageFolder(world / "runs" / "toy", "sample").set_aside([lost.name])
    done = cli("run", "salmon.yaml", "--until", "sample")
    assert done.code == 0
    assert "goes on where it was" in done.err
    assert lost.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in others} == others
    assert not list(sample.glob("*.tmp"))


def test_a_killed_run_goes_on(tmp_path: Path, cli: Cli) -> None:
    """SIGKILL in the middle of a trainer that would never end; then the same command with one that does."""
    make_folder(tmp_path, reward_model={"backend": "toy"}, **section("reward", rm_weight=0))
    hang = ["--set", "train.options={fail: hang}"]
    process = subprocess.Popen([str(SALMON), "run", "salmon.yaml", *hang], cwd=tmp_path, env=environment())
    run = tmp_path / "runs" / "toy"
    end = time.monotonic() + 60
    while not (run / "train-policy" / "steps.jsonl").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads((run / "train-policy" / "manifest.json").read_text())["status"] == "started"
    done = cli("run", "salmon.yaml", "--until", "train-policy")
    assert done.code == 0, done.text
    assert done.err.count("already done") == 1  # prompts
    assert (run / "train-policy" / "model" / "config.json").is_file()


def test_what_a_killed_run_had_not_told_is_told_by_the_next(tmp_path: Path, cli: Cli) -> None:
    """The trainer logs three steps and hangs; the run dies before it has looked at them, then goes on."""
    make_folder(tmp_path, reward_model={"backend": "toy"}, **section("reward", rm_weight=0))
    hang = ["--set", "train.options={fail: hang, rollouts: 0}", "--until", "train-policy"]
    run = tmp_path / "runs" / "toy"
    for _ in range(2):  # the trainer of this world does not resume: it logs its steps again
        process = subprocess.Popen([str(SALMON), "run", "salmon.yaml", *hang], cwd=tmp_path, env=environment())
        end, steps = time.monotonic() + 60, run / "train-policy" / "steps.jsonl"
        lines = len(steps.read_text().splitlines()) + 3 if steps.exists() else 3
        while not steps.exists() or len(steps.read_text().splitlines()) < lines:
            assert time.monotonic() < end
            time.sleep(0.01)
        process.kill()
        process.wait()
    untold = len([event for event in told(run, "train-policy") if event["event"] == "StepLogged"])
    process = subprocess.Popen([str(SALMON), "run", "salmon.yaml", *hang], cwd=tmp_path, env=environment())
    while len(found := [e for e in told(run, "train-policy") if e["event"] == "StepLogged"]) < 9:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert untold < 9
    assert [event["step"] for event in found] == [0, 1, 2] * 3


# -- the folder's own files --------------------------------------------------------------------------------------


def test_a_stage_folder(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, "sample")
    first = MadeFrom("m1", {"a": 1, "b": {"c": [1, 2]}}, {"prompts": "p1"})
    assert folder.manifest == {}
    assert folder.begin(first, {"run": 3}) is None
    assert folder.continues(first)
    assert not folder.finished(first)
    folder.interrupted(2.0)
    folder.finish(3.0, {"n": 5})
    assert folder.finished(first)
    assert folder.manifest["seconds"] == 5.0
    assert folder.otherwise(MadeFrom("m2", {"a": 1, "b": {"c": [1, 3]}}, {"prompts": "p1"})) == "b.c[1] changed"
    assert folder.otherwise(replace(first, read={"prompts": "p2"})) == "what prompts left is not what it was made from"
    (folder.path / "part-00000.parquet").touch()
    names = set()
    for mark in ("m2", "m1", "m2", "m1"):
        archived = folder.begin(MadeFrom(mark, {}, {}), {})
        assert archived is not None
        assert (archived / "part-00000.parquet").exists()
        names.add(archived.name)
        (folder.path / "part-00000.parquet").touch()
    assert len(names) == 4


@pytest.mark.parametrize("content", ["", "{", '{"status": "finished", "finger', "[]", "null", "\x00\x00"])
def test_a_torn_manifest_never_counts_as_finished(content: str, tmp_path: Path) -> None:
    folder = StageFolder(tmp_path, "sample")
    folder.path.mkdir()
    (folder.path / "manifest.json").write_text(content)
    (folder.path / "part-00000.parquet").touch()
    assert not folder.finished(MadeFrom("m1", {}, {}))
    archived = folder.begin(MadeFrom("m1", {}, {}), {})
    assert archived is not None
    assert (archived / "part-00000.parquet").exists()
    assert folder.manifest["status"] == "started"


def test_json_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    write_json(file, {"a": "ü"})
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert read_json(file) == {"a": "ü"}
    assert read_json(tmp_path / "none.json") is None


def test_identity_of_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("same")
    two.write_text("same")
    os.utime(two, (1, 1))
    assert file_identity(one) == file_identity(two)
    two.write_text("other")
    assert file_identity(one) != file_identity(two)


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})


# -- the prompts stage -------------------------------------------------------------------------------------------


def splits(folder: Path, lines: str) -> dict[str, str]:
    """Each prompt's split, by the stage's own task."""
    config = make_folder(folder, held_out=0.3)
    (folder / "prompts.jsonl").write_text(lines)
    run = Run(folder / "runs" / "toy", load(config))
    run.stage("prompts").path.mkdir(parents=True, exist_ok=True)
    run.save()
    worker.main(["prompts", str(run.path)])
    return {prompt.id: prompt.split for prompt in read_prompts(run.stage("prompts").path)}


def test_splits_stay_when_prompts_are_added(tmp_path: Path) -> None:
    few, many = splits(tmp_path, prompt_lines(40)), splits(tmp_path, prompt_lines(400))
    assert sum(many[name] != split for name, split in few.items()) <= 4  # near the border alone
    assert (sum(s == "test" for s in few.values()), sum(s == "test" for s in many.values())) == (12, 120)
    metrics = json.loads((tmp_path / "runs/toy/prompts/metrics.json").read_text())
    assert metrics["train"] + metrics["test"] == 400


def test_given_splits_ids_and_repetitions(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a", "id": 1, "split": "test"},
        {"prompt": "b", "id": "x/y", "split": "train", "category": "reasoning"},
        {"prompt": "b", "id": "x/y"},
        {"messages": [{"role": "user", "content": "c"}], "split": "train"},
    ]
    found = splits(tmp_path, "\n\n".join(map(json.dumps, rows)))
    assert found == {"1": "test", "x/y": "train", Prompt.from_text("c").id: "train"}
    assert json.loads((tmp_path / "runs/toy/prompts/metrics.json").read_text())["repeated"] == 1
    assert read_prompts(tmp_path / "runs" / "toy" / "prompts", "train")[0].category == "reasoning"


def test_pairs_are_neighbours_that_differ() -> None:
    prompts = [Prompt.from_text("a", id="a"), Prompt.from_text("b", id="b")]
    texts = {"a": ["one", "two", "same", "same", "left over"], "b": ["x", "y"]}
    completions = [Completion(i, n, text, (), 1, True) for i, own in texts.items() for n, text in enumerate(own)]
    assert [pair.id for pair in pairs_of(prompts, completions[::-1])] == ["a/0-1", "b/0-1"]
