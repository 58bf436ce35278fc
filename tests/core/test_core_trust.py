"""What says finished is whole: lost and damaged files, plugins that end the process, and what is said of each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from core_world import Cli, document, make_folder, salmon

from salmon_core.data import parquet
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import DataError


def lose(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    """Another bit, the same length."""
    content = bytearray(file.read_bytes() or b"?")
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


#: of every kind that a later stage reads: file -> what is made again
OUTPUTS = {
    "prompts/prompts.parquet": "prompts.parquet",
    "sample/part-00001.parquet": "part-00001.parquet",
    "judge/part-00002.parquet": "part-00002.parquet",
    "label/preferences.parquet": "preferences.parquet",
    "label/statistics.json": "statistics.json",
    "verdict/verdict.json": "verdict.json",
    "train-rm/data/train.parquet": "data/train.parquet",
    "train-rm/data/statistics.json": "data/statistics.json",
    "train-rm/model/config.json": "model",
    "train-policy/rl_prompts.parquet": "rl_prompts.parquet",
    "train-policy/model/config.json": "model",
    "evaluate/00-toy-count.json": "00-toy-count.json",
}


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in OUTPUTS} | {
        str(file.relative_to(run)): file.read_bytes() for file in sorted(run.glob("*/part-*.parquet"))
    }


@pytest.mark.parametrize("damage", [lose, cut, flip])
@pytest.mark.parametrize("name", list(OUTPUTS))
def test_what_was_lost_of_a_finished_run_is_named_and_alone_made_again(
    name: str, damage: Callable[[Path], None], world: Path, cli: Cli
) -> None:
    run = world / "runs" / "toy"
    before, report = contents(run), (run / "report.json").read_bytes()
    times = {file: file.stat().st_mtime_ns for file in run.glob("*/part-*.parquet")}
    damage(run / name)
    again = cli("run", "salmon.yaml")
    assert again.code == 0, again.text
    stage, file = name.split("/", 1)
    assert f"{stage}: {run / name} " in again.err
    assert f"{OUTPUTS[name]} is made again, the rest is kept" in again.err
    assert again.err.count("already done") == 7
    assert contents(run) == before
    assert (run / "report.json").exists() == bool(report)
    same = [part for part, time in times.items() if part.stat().st_mtime_ns == time]
    assert len(same) == len(times) - (file.startswith("part-"))
    kept = list((run / "archive").glob(f"{stage}-damaged/**/*")) if damage is not lose else [run]
    assert kept


def test_a_lost_shard_is_found_whatever_stage_the_run_starts_from(world: Path, cli: Cli) -> None:
    run = world / "runs" / "toy"
    pairs = read_json(run / "judge" / "metrics.json")["pairs"]
    (run / "sample" / "part-00001.parquet").unlink()
    again = cli("run", "salmon.yaml", "--from", "judge")
    assert again.code == 0
    assert "part-00001.parquet is missing" in again.err
    assert read_json(run / "judge" / "metrics.json")["pairs"] == pairs == 9


def test_what_comes_out_otherwise_when_made_again_makes_later_stages_anew(
    world: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world / "runs" / "toy"
    # As on hardware that gives other samples each time: the engine is the same by name and version.
    source = (world / "world.py").read_text()
    other = source.replace('f"{sampling.seed}/', "f\"{os.environ.get('OTHER', '')}{sampling.seed}/")
    (world / "world.py").write_text(other)
    assert cli("run", "salmon.yaml").code == 0
    (run / "sample" / "part-00001.parquet").unlink()
    monkeypatch.setenv("OTHER", "x")
    again = cli("run", "salmon.yaml")
    assert again.code == 0, again.text
    assert "judge: what sample left is not what it was made from; the old result is in" in again.err
    assert "label: what sample and judge left is not" in again.err


def test_records_that_nobody_reads_are_told_and_stop_nothing(world: Path, cli: Cli) -> None:
    run = world / "runs" / "toy"
    flip(run / "train-policy" / "rollouts" / "part-000001-0.parquet")
    again = cli("run", "salmon.yaml")
    assert again.code == 0
    assert "part-000001-0.parquet is not what was written; no later stage reads it" in again.err
    assert again.err.count("already done") == 8


@pytest.mark.parametrize("damage", [lose, cut, flip])
@pytest.mark.parametrize("name", ["manifest.json", "outputs.json", "metrics.json", "log.txt", "progress.json"])
def test_a_stage_without_its_own_papers_is_finished_or_made_anew(
    name: str, damage: Callable[[Path], None], world: Path, cli: Cli
) -> None:
    run = world / "runs" / "toy"
    before = contents(run)
    damage(run / "sample" / name)
    again = cli("run", "salmon.yaml")
    assert again.code == 0, again.text
    if name == "manifest.json":
        what = "it was never begun" if damage is lose else "its manifest.json is damaged"
        assert f"sample: {what}; the old result is in" in again.err
    else:
        assert again.err.count("already done") == 8
    assert contents(run) == before


@pytest.mark.parametrize("damage", [lose, cut, flip])
@pytest.mark.parametrize("name", ["config.json", "events.jsonl", "report.json", ".lock"])
def test_a_run_without_its_own_papers_goes_on(name: str, damage: Callable[[Path], None], world: Path, cli: Cli) -> None:
    run = world / "runs" / "toy"
    report = json.loads((run / "report.json").read_text())
    damage(run / name)
    again = cli("run", "salmon.yaml")
    assert again.code == 0, again.text
    assert again.err.count("already done") == 8
    assert json.loads((run / "report.json").read_text()) == report


def test_large_files_are_compared_when_asked(world: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("salmon_core.run.outputs.CHEAP", 10)
    flip(world / "runs" / "toy" / "train-rm" / "model" / "config.json")
    quick = cli("run", "salmon.yaml")
    assert quick.err.count("already done") == 8
    thorough = cli("run", "salmon.yaml", "--verify")
    assert thorough.code == 0
    assert "config.json is not what was written; model is made again" in thorough.err


def test_a_damaged_page_of_parquet_is_an_error_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "texts.parquet"
    rows = [{"chosen": f"text {i} " * 50, "rejected": "", "margin": float(i)} for i in range(100)]
    parquet.write_rows(file, rows, parquet.RM_TEXTS)
    content = bytearray(file.read_bytes())
    content[60] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"texts\.parquet: is not a readable Parquet file"):
        parquet.read_table(file, parquet.RM_TEXTS)


# -- plugins that end the process ------------------------------------------------------------------------------------

#: where -> (in world.py, replaced by, changes of the configuration)
PLACES = {
    "evaluator": ("        texts = [completion.text for completion in run.samples", "evaluate"),
    "engine": ("        assert self._open\n        found = []\n        for prompt, _ in prompts:", "sample"),
    "judge": ("        found = []\n        for pair in pairs:\n            requests", "judge"),
    "labeller": ("        by_id = {pair.id: pair", "label"),
}


@pytest.mark.parametrize("how", ["sys.exit(0)", "raise BaseException('odd')", "os._exit(0)"])
@pytest.mark.parametrize("kind", list(PLACES))
def test_a_plugin_that_ends_the_process_is_a_failure(kind: str, how: str, tmp_path: Path) -> None:
    make_folder(tmp_path)
    place, stage = PLACES[kind]
    source = (tmp_path / "world.py").read_text()
    assert place in source
    (tmp_path / "world.py").write_text(source.replace(place, f"        {how}\n{place}"))
    done = salmon("run", "salmon.yaml", cwd=tmp_path)
    assert done.code == 1, done.text
    assert "Traceback" not in done.err
    manifest = read_json(tmp_path / "runs" / "toy" / stage / "manifest.json")
    assert manifest["status"] == "started"
    assert not (tmp_path / "runs" / "toy" / "report.json").exists()
    last = done.err.strip().splitlines()[-1]
    if how == "os._exit(0)":
        assert f"error: {stage}: its process ended with exit code 0 before the work was done" in last
    else:
        assert f"plugin {tmp_path / 'world.py'}, " in last
        assert "world.py:" in last.rpartition("(")[2], "names the line"
        assert ("called sys.exit(" in last) == ("odd" not in how)
        log = (tmp_path / "runs" / "toy" / stage / "log.txt").read_text()
        assert "Traceback" in log
        assert how.partition("(")[0].removeprefix("raise ") in log


def test_an_observer_that_ends_the_process_is_noted(tmp_path: Path) -> None:
    make_folder(tmp_path)
    with (tmp_path / "world.py").open("a") as file:
        file.write("\n\n@hookimpl\ndef salmon_event(event: Any) -> None:\n    sys.exit(0)\n")
    done = salmon("run", "salmon.yaml", cwd=tmp_path)
    assert done.code == 0, done.text
    assert (tmp_path / "runs" / "toy" / "report.json").exists()
    assert "observer failed: plugin " in done.err
    assert "called sys.exit(0)" in done.err


@pytest.mark.parametrize("how", ["sys.exit(0)", "raise BaseException('odd')"])
def test_a_bonus_that_ends_the_process_is_a_failure(how: str, world: Path) -> None:
    source = (world / "world.py").read_text()
    place = "        return float(rollout.completion.count"
    (world / "world.py").write_text(source.replace(place, f"        {how}\n{place}"))
    (world / "rollouts.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    saved = world / "runs" / "toy" / "config.json"
    write_json(saved, read_json(saved) | {"base": str(world)})
    done = salmon("score", "runs/toy", "rollouts.jsonl", "-o", "scored.jsonl", cwd=world)
    assert done.code == 1
    assert f"plugin {world / 'world.py'}" in done.err
    assert not (world / "scored.jsonl").exists()


def test_a_trainer_that_leaves_early_is_a_failure(tmp_path: Path, cli: Cli) -> None:
    make_folder(tmp_path, reward_model={"backend": "toy", "options": {"fail": "nothing"}})
    done = cli("run", "salmon.yaml")
    assert done.code == 1
    assert "train-rm: the trainer ended with exit code 0 and left no model" in done.err


def test_a_killed_stage_takes_no_shard_that_was_damaged_meanwhile(tmp_path: Path, cli: Cli) -> None:
    make_folder(tmp_path)
    source = (tmp_path / "world.py").read_text()
    place = "                rng = Random("
    stop = '                if prompt.id == "p9" and not os.environ.get("GO"):\n                    os._exit(9)\n'
    (tmp_path / "world.py").write_text(source.replace(place, stop + place))
    first = salmon("run", "salmon.yaml", cwd=tmp_path)
    assert first.code == 1
    parts = sorted((tmp_path / "runs" / "toy" / "sample").glob("part-*.parquet"))
    assert len(parts) >= 1
    flip(parts[0])
    os.environ["GO"] = "1"
    try:
        done = salmon("run", "salmon.yaml", cwd=tmp_path)
    finally:
        del os.environ["GO"]
    assert done.code == 0, done.text
    assert f"{parts[0]} is not what was written; part-00000.parquet is made again" in done.err


REVERSES = """

class Reverses:
    def score(self, rollouts: Any) -> list[float]:
        HOW
        return [float(len(rollout.completion)) for rollout in rollouts]


@hookimpl(specname="salmon_bonuses")
def reversing() -> Iterable[Component]:
    yield Component("reverses", Reverses, "changes what it is given")
"""


@pytest.mark.parametrize(
    "how", ["if hasattr(rollouts, 'reverse'): rollouts.reverse()", "if hasattr(rollouts, 'clear'): rollouts.clear()"]
)
def test_a_bonus_cannot_change_what_others_are_given(how: str, tmp_path: Path) -> None:
    """Two rows had each other's rewards, or there were none, and the exit code was 0."""
    make_folder(tmp_path, reward={**document()["reward"], "bonuses": ["reverses"], "rm_weight": 0})
    with (tmp_path / "world.py").open("a") as file:
        file.write(REVERSES.replace("HOW", how))
    rows = [{"prompt": "a", "completion": "b" * length} for length in (1, 5, 9)]
    (tmp_path / "rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert salmon("run", "salmon.yaml", "--until", "prompts", cwd=tmp_path).code == 0
    done = salmon("score", "runs/toy", "rollouts.jsonl", "-o", "scored.jsonl", cwd=tmp_path)
    assert done.code == 0, done.text
    scored = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert [row["total"] for row in scored] == [1, 5, 9]
