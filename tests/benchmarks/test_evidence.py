"""`make prove-all`: statistics, the page of made-up results, and real runs, killed, gone on with and shared."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from evidence.folder import EXAMPLE, Folder  # noqa: E402
from evidence.intervals import Interval, holm, paired  # noqa: E402
from evidence.page import write  # noqa: E402
from evidence.question import BASE, Arm, Question, measured, rewarded  # noqa: E402
from evidence.questions import QUESTIONS  # noqa: E402
from evidence.questions.stages import FULL  # noqa: E402
from evidence.results import Results, at, rate  # noqa: E402
from evidence.runner import TOOK, RunFailed, one, wanted  # noqa: E402
from evidence.table import arms_table, differences  # noqa: E402

from salmon_core.config.resolve import load  # noqa: E402
from salmon_core.principles.files import load_principle_set  # noqa: E402
from salmon_minnow.principles import PRINCIPLES  # noqa: E402

# ----------------------------------------------------------------------------------------------------------- statistics


def test_intervals_are_student_s() -> None:
    found = Interval.of({1: 0.1, 2: 0.2, 3: 0.3})
    assert found.mean == pytest.approx(0.2)
    assert found.half == pytest.approx(4.302653 * 0.1 / 3**0.5)
    assert found.p == pytest.approx(0.0741799)  # t = 3.4641 on 2 degrees of freedom
    assert found.apart is False
    assert Interval.of({1: 0.5}).half is None
    assert Interval.of({1: 0.5, 2: 0.5}).p == 0
    assert Interval.of({1: 10832.0}).text() == "10832"


def test_differences_pair_the_seeds_that_both_have() -> None:
    found = paired({1: 0.5, 2: 0.7, 9: 9.0}, {1: 0.4, 2: 0.5, 3: 0.0})
    assert found is not None
    assert found.values == pytest.approx({1: 0.1, 2: 0.2})
    assert paired({1: 0.0}, {2: 0.0}) is None


def test_holm() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


# ------------------------------------------------------------------------------------------------------------- settings


def test_every_run_has_a_configuration_that_can_be_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.prepare()
    runs = wanted(list(QUESTIONS.values()), [1])
    assert runs[0][0].folder == BASE.folder
    assert len({arm.folder for arm, _ in runs}) == len(runs)
    for arm, stage in ((BASE, "train-rm"), (FULL, "pretrain-rm")):  # models that other arms name
        model = folder.run(arm, 1) / stage / "model"
        model.mkdir(parents=True)
        for file in (ROOT / "plugins/salmon-minnow/salmon_minnow/data/model").iterdir():
            (model / file.name).symlink_to(file)
    for arm, seed in runs:
        load(folder.config, folder.overrides(arm, seed))


def test_a_folder_is_named_by_its_settings_alone() -> None:
    first, second = Arm("a", ("label.flip=0.1", *measured("x"))), Arm("b", ("label.flip=0.1", *measured("x")))
    assert first.folder == second.folder
    assert first.folder.startswith("label-flip-0-1-")
    assert first.folder != Arm("a", ("label.flip=0.1", *measured("y"))).folder


def test_the_texts_of_the_sets_are_the_world_s() -> None:
    for file in (ROOT / "benchmarks" / "evidence" / "world").glob("*.yaml"):
        for each in load_principle_set(file):
            name = each.name.removesuffix("-2")
            known = PRINCIPLES["vivid" if name == "plain" else name]
            texts = {known.text(own, int(name != each.name)) for own in (False, True)}
            assert {each.text, each.negated or each.text} <= texts


# ------------------------------------------------------------------------------------------------------------- the page


def made_up(folder: Folder, arm: Arm, seed: int, vivid: float) -> None:
    """A report as a run would leave it, as far as tables read it."""
    estimate = {"value": vivid, "low": 0.0, "high": 1.0, "n": 41}
    report: dict[str, Any] = {
        "targets": [{"name": "vivid", "wanted": "more", "before": 0.2, "after": vivid, "change": vivid - 0.2}],
        "rm": {"positive": estimate, "negated": estimate, "sets": {"joint": {"1": estimate}, "mean": {"1": estimate}}},
        "evaluators": {
            "minnow-oracle": {
                "rates": {
                    name: {"before": {"value": 0.2}, "after": {"value": vivid}, "change": {"value": vivid - 0.2}}
                    for name in ("vivid", "example", "helpful", "self_praise", "language_match", "words", "parsable")
                }
            }
        },
        "stages": {"train-policy": {"seconds": 1.0, "metrics": {"explained_variance": 0.1}}},
        "deviations": [],
    }
    run = folder.run(arm, seed)
    run.mkdir(parents=True)
    (run / "report.json").write_text(json.dumps(report))


@pytest.fixture
def results(tmp_path: Path) -> Folder:
    """The base and one arm of `ablations` with three seeds, and a conflict with one."""
    folder = Folder(tmp_path / "results")
    length = next(arm for arm in QUESTIONS["ablations"].arms if arm.name == "length bonus")
    for seed in (1, 2, 3):
        made_up(folder, BASE, seed, 0.6 + seed / 100)
        made_up(folder, length, seed, 0.2 + seed / 90)
    made_up(folder, QUESTIONS["conflicts"].arms[0], 1, 0.0)
    return folder


def test_the_page_says_what_is_there(results: Folder, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "evidence.md"
    write(QUESTIONS, results, page, wanted=5, any_code=True)
    text = page.read_text()
    for question in QUESTIONS.values():
        assert f"## {question.title}\n" in text
    assert "| `ablations` | 0 | 3 of 60 |" in text
    assert "\n7 of the 7 runs that count here were made by an earlier state of the code" in text
    assert "| length bonus | 3 | 0.22 ± 0.03 |" in text
    assert "| length bonus | 3 | -0.40 ± 0.00 * |" in text
    assert "`length bonus` lowers vivid by 0.40 (p = " in text
    assert "Holm over the 6 comparisons" in text
    assert "| its opposite alone | 1 | 0.20 | 0.00 |" in text  # of one seed there is no interval
    assert (page.parent / "evidence" / "noise.svg").exists() is False  # one level is no line


def test_the_same_results_give_the_same_page_and_figures(results: Folder, tmp_path: Path) -> None:
    for arm in QUESTIONS["conflicts"].arms[1:]:
        made_up(results, arm, 1, 0.5)
    pages = [tmp_path / name / "evidence.md" for name in "ab"]
    for page in pages:
        write(QUESTIONS, results, page, wanted=5, any_code=True)
    figures = [page.parent / "evidence" / "conflicts.svg" for page in pages]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert figures[0].read_bytes() == figures[1].read_bytes()
    assert "![By weight](evidence/conflicts.svg)" in pages[0].read_text()


def test_reports_of_other_code_are_left_out_and_the_page_is_kept(results: Folder, tmp_path: Path) -> None:
    """Nothing made these reports, so `salmon run` would not find them finished, and there is nothing to write."""
    results.prepare()
    page = tmp_path / "evidence.md"
    page.write_text("what was there")
    assert not write(QUESTIONS, results, page, wanted=5)
    assert page.read_text() == "what was there"


# ------------------------------------------------------------------------------------------------------------ real runs

NO_TRAINING = ("train.algorithm=none", "reward.rm_weight=0", "judge.on_weak=warn")
SMALL = measured("{name: minnow-oracle, samples: 2}")
FIRST = Arm("first", (*NO_TRAINING, "prompts={name: 'plugin:minnow', kinds: [greeting]}", *SMALL))
SECOND = dataclasses.replace(FIRST, name="second", settings=(*FIRST.settings, *rewarded("vivid", 1)))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example without a reward model's training."""
    document = yaml.safe_load(EXAMPLE.read_text())
    file: Path = tmp_path_factory.mktemp("example") / "minnow.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def inodes(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(file.relative_to(folder)): (file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.rglob("*.*")
    }


@pytest.mark.slow
def test_runs_are_killed_gone_on_with_found_finished_and_shared(tmp_path: Path, example: Path) -> None:
    folder = Folder(tmp_path, example=example)
    folder.prepare()
    command = (
        "import sys; from pathlib import Path; from evidence.folder import Folder; from evidence.runner import one; "
        "import test_evidence as t; f = Folder(Path(sys.argv[1]), example=Path(sys.argv[2])); f.prepare(); "
        "print(one(f, t.FIRST, 1))"
    )
    paths = os.pathsep.join([str(ROOT / "benchmarks"), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    argv = [sys.executable, "-c", command, str(tmp_path), str(example)]
    killed = subprocess.Popen(argv, env=environment, start_new_session=True, stdout=subprocess.PIPE)
    run = folder.run(FIRST, 1)
    deadline = time.monotonic() + 120
    while not (run / "prompts" / "manifest.json").exists():
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not folder.finished(FIRST, 1)

    one(folder, FIRST, 1)  # the same again
    assert folder.finished(FIRST, 1)
    before = inodes(run)
    assert one(folder, FIRST, 1) == "0 s"  # found finished, nothing was touched
    assert inodes(run) == before

    question = Question("both", "Both", "", (FIRST, SECOND), lambda results: [])
    folder = Folder(tmp_path, example=example)
    folder.prepare()
    assert folder.share(SECOND, 1) == ["prompts"]
    shared = folder.run(SECOND, 1) / "prompts"
    assert inodes(shared) == inodes(run / "prompts")
    one(folder, SECOND, 1)
    assert inodes(shared) == inodes(run / "prompts")
    assert json.loads((folder.run(SECOND, 1) / TOOK).read_text())["seconds"] > 0
    assert [each for each in wanted([question], [1]) if not folder.finished(*each)] == [(BASE, 1)]

    found = Results(folder, (1,), tmp_path, "")
    rates = arms_table(found, [FIRST, SECOND], {"stopped": rate("stopped"), "none": at("nothing", "there")})
    assert [line.split("|")[1].strip() for line in rates[2:4]] == ["first", "second"]
    assert "One seed says nothing" in "\n".join(differences(found, [SECOND], FIRST, {"stopped": rate("stopped")}))


def test_a_failed_run_says_why(tmp_path: Path, example: Path) -> None:
    folder = Folder(tmp_path, example=example)
    folder.prepare()
    with pytest.raises(RunFailed, match=r"label\.repeats"):
        one(folder, Arm("bad", ("label.repeats=0",)), 1)
    gone = Arm("gone", (*NO_TRAINING, "prompts={name: minnow-part, languages: []}", *SMALL))
    with pytest.raises(RunFailed, match="no prompt"):
        one(folder, gone, 1)
