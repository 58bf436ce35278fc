"""The card end to end: a real small reward model, the real command line, a kill."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

import pytest
from card_runs import Examined
from installed import SALMON, environment, salmon
from processes import kill_when

from salmon_card import plugin
from salmon_card.card import read_card, read_metrics
from salmon_card.checks import CHECKS
from salmon_core.testing import CommandContract, EvaluatorContract

PRINCIPLES = ("--principles", "minnow", "--principles", "minnow-wordings")
SIZE = ("--samples", "4", "--max-pairs", "30", "--max-set", "2")


class TestEvaluator(EvaluatorContract):
    plugin = plugin
    name = "report-card"
    options: ClassVar = {"truth": "made-up", "max_pairs": 5, "max_set": 2, "samples": 2}


class TestByJudge(EvaluatorContract):
    plugin = plugin
    name = "report-card"
    options: ClassVar = {"max_pairs": 5, "samples": 2}


class TestCommand(CommandContract):
    plugin = plugin
    name = "card"


@pytest.mark.slow
def test_a_run_examines_its_reward_model(examined: Examined) -> None:
    report = examined.report
    card = read_metrics(report)
    assert card.truth == "the oracle minnow"
    assert not card.agreement
    assert card.trained == ("language", "vivid", "steps", "helpful", "example", "no-self-praise")
    assert set(card.unseen) <= {"concise", "safe"}
    assert not card.framed
    figure = card.figure("accuracy")
    assert figure is not None
    assert report["rm"]["positive"]["value"] == figure.value
    assert figure.low <= figure.value <= figure.high
    assert {each.check for each in card.figures} <= {check.name for check in CHECKS}
    section = next(each for each in report["sections"] if each.get("card") == "reward")
    assert section["columns"][0] == "check"
    shown = salmon("report", examined.run, cwd=examined.folder)
    assert "report card" in shown.stdout
    assert "failure signature" in shown.stdout


@pytest.mark.slow
def test_the_command_says_the_same(examined: Examined, tmp_path: Path) -> None:
    card, page = tmp_path / "card.json", tmp_path / "card.md"
    done = salmon(
        "card", examined.run, *PRINCIPLES, *SIZE, "--json", card, "--markdown", page, "--all", cwd=examined.folder
    )
    assert done.returncode == 0, done.stderr
    assert read_card(card) == read_metrics(examined.report)
    left = Path(examined.run) / "card" / "card.json"
    assert (examined.folder / left).read_text() == card.read_text()
    assert page.read_text().startswith("## The reward model's report card\n\n| check | of |")
    assert max(map(len, done.stdout.splitlines()[:40])) <= 400
    for word in ("turns round", "planted", "in short", "the oracle minnow"):
        assert word in done.stdout
    narrow = salmon("card", examined.run, *PRINCIPLES, *SIZE, cwd=examined.folder, COLUMNS="80")
    assert narrow.returncode == 0


@pytest.mark.slow
def test_killed_it_goes_on(examined: Examined, tmp_path: Path) -> None:
    """What was sampled and scored is there after SIGKILL, and the result is that of an undisturbed one."""
    run = tmp_path / "small"
    shutil.copytree(examined.run, run, ignore=shutil.ignore_patterns("card"))
    argv = [str(SALMON), "card", str(run), *PRINCIPLES, *SIZE, "--json", str(tmp_path / "card.json")]
    kill_when(argv, lambda: any((run / "card").glob("*/*-own/scores-*.json")), env=environment())
    assert not (tmp_path / "card.json").exists()
    kept = {file: file.stat().st_mtime_ns for file in (run / "card").rglob("*") if file.suffix in (".json", ".parquet")}
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for file, when in kept.items():
        assert file.name == "progress.json" or file.stat().st_mtime_ns == when
    assert read_card(tmp_path / "card.json").figures == read_metrics(examined.report).figures


def test_a_model_without_its_run(model: Path, pairs: Path, tmp_path: Path) -> None:
    """By preferences it measures agreement, and says so. Killed, it goes on."""
    argv = [str(SALMON), "card", str(model), "--pairs", str(pairs), "--max-set", "2", "--json", "card.json"]
    kept = tmp_path / "cards"
    kill_when(argv, lambda: any(kept.glob("*/scores-*.json")), env=environment(), cwd=tmp_path)
    assert not (tmp_path / "card.json").exists()
    written = {file: file.stat().st_mtime_ns for file in kept.glob("*/scores-*.json")}
    done = salmon(*argv[1:], "--markdown", "card.md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(file.stat().st_mtime_ns == when for file, when in written.items())
    card = read_card(tmp_path / "card.json")
    assert card.agreement
    assert "agreement, not truth" in " ".join(done.stdout.split())
    assert card.framed
    assert card.skipped == {"shows several principles": 1}
    assert {each.about for each in card.figures if each.check == "accuracy"} == {"all", "example", "vivid"}
    assert card.verdict("longer") == "not measured"
    assert card.verdict("accuracy") not in ("good", "weak")
    assert (tmp_path / "card.md").read_text().startswith("## The reward model's report card\n\n| check | of |")
    assert max(map(len, done.stdout.splitlines()[:30])) <= 120


@pytest.mark.slow
def test_its_card_has_the_section(examined: Examined) -> None:
    from salmon_core.sharing.cards import _sections
    from salmon_core.sharing.facts import Results

    (heading, table, note) = _sections(Results.of(examined.report), "reward")
    assert heading == "## The reward model's report card"
    assert "| right | all |" in table
    assert "the oracle minnow" in note
    assert not _sections(Results.of(examined.report), "policy")


BAD = (
    (["card", "nowhere"], "no such folder"),
    (["card", "."], "neither a run's folder nor a reward model's"),
    (["card", "{model}"], "--pairs FILE"),
    (["card", "{model}", "--pairs", "{pairs}", "--truth", "nobody"], "nobody"),
    (["card", "{model}", "--pairs", "{pairs}", "--principles", "nothing"], "nothing"),
    (["card", "{model}", "--pairs", "bad.jsonl"], "bad.jsonl"),
    (["card", "{model}", "--pairs", "several.jsonl"], "no row that tells something of one principle"),
)


@pytest.mark.parametrize(("argv", "says"), BAD, ids=[says for _, says in BAD])
def test_bad_input_gets_one_clear_error(argv: list[str], says: str, model: Path, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "chosen": "b"}\n')
    row = {"prompt": "a", "chosen": "b", "rejected": "c", "principles": ["example", "vivid"]}
    (tmp_path / "several.jsonl").write_text(json.dumps(row) + "\n")
    done = salmon(*(each.format(model=model, pairs=pairs) for each in argv), cwd=tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr
