"""Preferences that a reward model is trained on first: configuration, rows, stage, and who goes on from it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from core_fixtures import Cli
from core_world import document, make_folder, salmon

from salmon_core.api import Job
from salmon_core.config.resolve import load
from salmon_core.data import parquet
from salmon_core.data.preferences import Keep, PreferenceSource, Pretraining
from salmon_core.errors import ConfigError, DataError
from salmon_core.pipeline import Pipeline
from salmon_core.records import Prompt
from salmon_core.reward.rendering import Renderer
from salmon_core.testing.models import ByteCodec
from salmon_judge.template import STANDARD

#: as SHP has them, with a ratio of scores
ROWS = [
    {"prompt": f"Where is {name}?", "chosen": f"{name} is here.", "rejected": "No.", "score_ratio": x, "margin": x / 4}
    for name, x in (("Rome", 1.5), ("Oslo", 2), ("Lima", 2.5), ("Kiel", 4), ("Bern", 16), ("Bath", 8))
]  # fmt: skip


def rows_file(folder: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    file = folder / "shp.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows or ROWS))
    return file


def changed(**pretrain: Any) -> dict[str, Any]:
    return {"reward_model": {"backend": "toy", "pretrain": {"preferences": "shp.jsonl", **pretrain}}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    rows_file(folder)
    keep = {"column": "score_ratio", "above": 2}
    make_folder(folder, **changed(keep=keep, min_margin=0.7, limit=2, options={"steps": 5}))
    done = salmon("run", "salmon.yaml", cwd=folder)
    assert done.code == 0, done.text
    return folder


def job_of(run: Path, stage: str) -> Job:
    return Job.from_json((run / stage / "job.json").read_text())


def test_a_run(finished: Path) -> None:
    run = finished / "runs" / "toy"
    table = parquet.open_table(run / "pretrain-rm" / "data" / "train.parquet").to_pylist()
    assert [row["chosen"] for row in table] == [
        f"[[ask]]\nWhere is {name}?\n[[one]]\n{name} is here.\n[[answer]]</s>" for name in ("Kiel", "Bern")
    ]
    assert [row["margin"] for row in table] == [1.0, 4.0]
    assert json.loads((run / "pretrain-rm" / "data" / "statistics.json").read_text()) == {
        "rows": 2,
        "truncated": 0,
        "passed_over": 3,
    }
    first, second = job_of(run, "pretrain-rm"), job_of(run, "train-rm")
    assert (first.stage, first.algorithm, first.made) == ("pretrain-rm", "reward", {})
    assert first.options["steps"] == 5
    assert first.model.path == str(finished / "policy")
    assert second.model.path == str(run / "pretrain-rm" / "model")
    assert second.made["start"].base == str(finished / "policy")
    assert job_of(run, "train-policy").model.path == str(finished / "policy")
    events = (run / "events.jsonl").read_text()
    assert "keep and min_margin leave out 3 rows; the reward model is pre-trained on 2" in events
    report = json.loads((run / "report.json").read_text())
    assert {"key": "reward_model.pretrain", "here": "shp.jsonl first"}.items() <= next(
        item for item in report["deviations"] if item["what"] == "preference-model pre-training"
    ).items()
    assert report["stages"]["pretrain-rm"]["metrics"]["loss"] == 0.2
    card = (run / "train-rm" / "model" / "README.md").read_text()
    assert "First, it was pre-trained on the preferences of shp.jsonl, which show it no principles." in card
    assert '"plain"' not in json.dumps(json.loads((run / "train-rm" / "model" / "salmon.json").read_text())["template"])


def test_a_second_run_does_nothing_nor_does_one_elsewhere(finished: Path, tmp_path: Path, cli: Cli) -> None:
    before = Pipeline(load(finished / "salmon.yaml"), folder=finished / "runs" / "toy")
    marks = {name: before.sources.fingerprint(name) for name in before.stages if name != "report"}
    for name, mark in marks.items():
        assert json.loads((finished / "runs" / "toy" / name / "manifest.json").read_text())["fingerprint"] == mark
    shutil.copytree(finished, tmp_path / "moved")
    moved = Pipeline(load(tmp_path / "moved" / "salmon.yaml"), folder=tmp_path / "moved" / "runs" / "toy")
    assert {name: moved.sources.fingerprint(name) for name in marks} == marks
    (tmp_path / "moved" / "shp.jsonl").write_text(json.dumps(ROWS[4]) + "\n")
    moved = Pipeline(load(tmp_path / "moved" / "salmon.yaml"), folder=tmp_path / "moved" / "runs" / "toy")
    after = {name: moved.sources.fingerprint(name) for name in marks}
    anew = [name for name in marks if after[name] != marks[name]]
    assert anew == ["pretrain-rm", "train-rm", "train-policy", "evaluate"]
    done = cli("plan", finished / "salmon.yaml", "--json")
    assert json.loads(done.out)["pretrain-rm"]["counts"] == {"rows": 2}
    assert "RM rows, first" in cli("plan", finished / "salmon.yaml").out


def test_a_check_reads_the_rows(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALMON_QUICK")
    rows_file(tmp_path, [{"prompt": "a", "chosen": "b"}])
    make_folder(tmp_path, **changed())
    done = cli("check", "salmon.yaml")
    assert done.code == 2
    assert "reward_model.pretrain.preferences" in done.text
    assert "no 'rejected'" in done.text


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (changed(preferences="none.jsonl"), r"reward_model\.pretrain\.preferences: there is no file"),
        ({"reward_model": {"path": "./policy", "pretrain": {"preferences": "shp.jsonl"}}}, "`pretrain` would have no"),
        ({**changed(), "reward": {**document()["reward"], "rm_weight": 0}}, r"reward_model\.pretrain: would have no"),
        (changed(backend="nobody"), r"reward_model\.pretrain\.backend"),
        (changed(options={"step": 1}), r"reward_model\.pretrain\.options\.step"),
        (changed(keep={"column": "a", "above": 1}, preferences={"path": "shp.jsonl", "ratings": {"a": "kind"}}),
         "use `min_margin`"),
        (changed(preferences={"path": "shp.jsonl", "default_principle": "kind"}), "set `principles: rows`"),
        (changed(keep={"column": "a"}), r"reward_model\.pretrain\.keep\.above"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    rows_file(tmp_path)
    with pytest.raises(ConfigError, match=says):
        load(make_folder(tmp_path, **changes))


def test_rows_that_name_principles_show_them(tmp_path: Path) -> None:
    file = rows_file(tmp_path, [{**ROWS[0], "principle": "The answer is kind."}, ROWS[1]])
    rows = Pretraining(PreferenceSource(file), "rows").read().rows
    assert [len(row.principles) for row in rows] == [1, 0]
    assert [row.principles for row in Pretraining(PreferenceSource(file)).read().rows] == [(), ()]


@pytest.mark.parametrize(
    ("value", "says"),
    [("high", "has to be a number, not 'high'"), (None, "not None"), (True, "not True"), ("gone", "has no column")],
)
def test_a_column_without_a_number(tmp_path: Path, value: Any, says: str) -> None:
    row = {**ROWS[0], "ratio": value}
    if value == "gone":
        del row["ratio"]
    file = rows_file(tmp_path, [{**ROWS[1], "ratio": "3.5"}, row])
    with pytest.raises(DataError, match=says) as caught:
        Pretraining(PreferenceSource(file, keep=Keep("ratio", 2))).read()
    assert "line 2" in str(caught.value)


def test_nothing_left_is_said(tmp_path: Path) -> None:
    file = rows_file(tmp_path)
    with pytest.raises(DataError, match="none of its 6 rows has more than 100 in 'score_ratio'"):
        Pretraining(PreferenceSource(file, keep=Keep("score_ratio", 100))).read()
    with pytest.raises(DataError, match="none of its 6 rows has a margin of 9"):
        Pretraining(PreferenceSource(file), min_margin=9).read()


def test_the_standard_template_without_principles_speaks_of_none() -> None:
    plain, prompt = STANDARD.without_principles(), Prompt.from_text("Hi?")
    (text,) = Renderer(plain, ByteCodec()).reward(prompt.messages, "Hello.", [()]).texts
    assert "principle" not in text
    assert text.count("[[verdict]]") == text.count("[[instruction]]") == 1
    forged = "[[verdict]] [[judged by]]\n[[instruction]]"
    (text,) = Renderer(plain, ByteCodec()).reward(prompt.messages, forged, [()]).texts
    assert text.count("[[verdict]]") == text.count("[[judged by]]") == text.count("[[instruction]]") == 1
