"""The river on the embedded world, small: every stage for real, twice alike, and through `kill -9`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import pytest
from processes import checkpointed, kill_when

from salmon_core.data.rollouts import read_rollout_rows
from salmon_core.run.run import Run
from salmon_core.seeing.proposing import trial
from salmon_core.seeing.proposing_apart import answer

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "examples" / "minnow.yaml"
SMALL = [
    "sample={samples: 2, temperature: 1.0, max_new_tokens: 48, batch_size: 32, shard_size: 26}",
    "judge.shard_size=32",
    "label.repeats=2",
    "reward_model.options.max_steps=8",
    "reward_model.options.save_steps=2",
    "reward_model.options.logging_steps=1",
    "train.options.max_steps=8",
    "train.options.save_steps=2",
    "train.options.generation_batch_size=16",
    "train.options.total_batch_size=16",
    "train.options.per_device_train_batch_size=16",
    "evaluate=[{name: minnow-oracle, samples: 2}, {name: rm-accuracy, truth: minnow, max_pairs: 20}, reward-shift]",
    "expect=[]",
]
DATA = (
    "prompts/prompts.parquet",
    "sample/part-*.parquet",
    "judge/part-*.parquet",
    "label/preferences.parquet",
    "train-rm/data/train.parquet",
    "train-policy/rl_prompts.parquet",
)

pytestmark = pytest.mark.slow


def command(folder: Path, *more: str) -> list[str]:
    argv = [sys.executable, "-m", "salmon_core", "run", str(CONFIG)]
    for override in [f"run.folder={folder}", *SMALL, *more]:
        argv += ["--set", override]
    return argv


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def data_files(run: Path) -> dict[str, bytes]:
    return {str(file.relative_to(run)): file.read_bytes() for pattern in DATA for file in sorted(run.glob(pattern))}


def losses(run: Path, stage: str, name: str) -> dict[int, float]:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "StepLogged" and event["stage"] == stage]
    return {step["step"]: step["values"][name] for step in steps if name in step["values"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(command(folder), env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "minnow"


def test_every_stage_leaves_what_it_promises(undisturbed: Path) -> None:
    report = json.loads((undisturbed / "report.json").read_text())
    assert {target["name"] for target in report["targets"]} >= {"vivid", "example"}
    assert set(report["rm"]) == {"positive", "negated", "sets"}
    assert set(report["evaluators"]["reward-shift"]["components"]) == {"rm", "missing-stop", "total"}
    assert report["deviations"]
    assert all(stage["seconds"] is not None for stage in report["stages"].values())
    for stage in ("prompts", "sample", "judge", "verdict", "label", "train-rm", "train-policy", "evaluate"):
        assert json.loads((undisturbed / stage / "manifest.json").read_text())["status"] == "finished"
    events = losses(undisturbed, "train-policy", "reward/missing-stop/mean")
    assert sorted(events) == [1, 3, 5, 7]  # a generated batch is gone through twice


def test_models_are_plain_folders(undisturbed: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    scorer = AutoModelForSequenceClassification.from_pretrained(undisturbed / "train-rm" / "model")
    assert scorer.config.num_labels == 1
    assert scorer.config.pad_token_id not in (None, scorer.config.eos_token_id)
    AutoModelForCausalLM.from_pretrained(undisturbed / "train-policy" / "model")
    tokenizer = AutoTokenizer.from_pretrained(undisturbed / "train-policy" / "model")
    assert "User:" in tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert not list(undisturbed.glob("train-*/model/*.bin"))


def test_score_is_the_reward_of_training(undisturbed: Path, tmp_path: Path) -> None:
    from salmon_core.data.rollouts import read_rollout_rows

    first = [row for row in read_rollout_rows(undisturbed / "train-policy") if row["rollout_index"] == 0][:6]
    assert len(first) == 6
    kept = ("prompt", "completion", "stopped", "n_tokens", "principles")
    rows = [{name: rollout[name] for name in kept} for rollout in first]
    file = tmp_path / "rollouts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    argv = [sys.executable, "-m", "salmon_core", "score", str(undisturbed), str(file)]
    done = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=120, check=True)
    scored = [json.loads(line) for line in done.stdout.splitlines()]
    for rollout, breakdown in zip(first, scored, strict=True):
        assert breakdown["total"] == pytest.approx(rollout["reward"], abs=1e-5)
        assert breakdown["components"] == pytest.approx(rollout["components"], abs=1e-5)


def salmon(*words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "salmon_core", *map(str, words)]
    return subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=400)


def test_trainer_and_travelling_reward_model_give_the_same(undisturbed: Path) -> None:
    """All rollouts that TRL's PPO logged; by the run, and by the reward model's folder alone."""
    for target in (undisturbed, undisturbed / "train-rm" / "model"):
        done = salmon("verify", target, undisturbed / "train-policy", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        verdict = json.loads(done.stdout)
        assert verdict["rollouts"] >= 16
        assert verdict["same"]


def test_the_policys_card_answers_as_it_is_tried(undisturbed: Path) -> None:
    """Its code, as it stands in the card, gives the answer of `salmon try`."""
    model = undisturbed / "train-policy" / "model"
    card = (model / "README.md").read_text()
    code = card.split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=model, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tried = salmon("try", undisturbed, "--prompt", "Is water wet?", "--json")
    assert tried.returncode == 0, tried.stderr
    values = json.loads(tried.stdout)
    assert [answer["by"] for answer in values["answers"]] == ["before", "after"]
    assert done.stdout.strip() == values["answers"][1]["text"].strip()
    assert {each["name"] for each in values["under"]} == {"helpful", "vivid", "example", "no-self-praise"}


def test_proposals_are_tried_on_the_reward_model(undisturbed: Path) -> None:
    """Of an alarm about the rollouts with most words: the draft, and principles of a set, each with what it does."""
    without = salmon("propose", undisturbed)
    assert without.returncode == 1
    assert "this run has no alarms" in without.stderr
    events = undisturbed / "events.jsonl"
    before = events.read_bytes()
    rows = list(read_rollout_rows(undisturbed / "train-policy"))
    batches = {index: list(own) for index, own in groupby(rows, key=lambda row: row["rollout_index"])}
    places = [(index, place) for index, own in batches.items() for place in range(len(own))]
    flagged = sorted(places, key=lambda at: -batches[at[0]][at[1]]["n_tokens"])[: len(rows) // 3]
    alarm = {"event": "AlarmRaised", "stage": "train-policy", "monitor": "m", "about": "long", "text": "long answers"}
    alarm |= {"rollout_index": 0, "p": 0.001, "examples": [], "forbid": "The response is short."}
    alarm["flagged"] = [list(at) for at in flagged]
    try:
        events.write_bytes(before + json.dumps(alarm).encode() + b"\n")
        done = salmon("propose", undisturbed, "--from-set", "minnow-interventions", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["alarm"]["about"] == "long"
        assert len(found["proposals"]) == 3  # one of the set is rewarded already
        assert {each["source"] for each in found["proposals"]} == {"", "minnow-interventions"}
        for each in found["proposals"]:
            apart = each["flagged"]["value"] - each["others"]["value"]
            assert each["apart"]["value"] == pytest.approx(apart)
            assert each["works"] == (each["flagged"]["high"] < 0 and each["apart"]["high"] < 0)
        # The same alarm, were it about words: each flagged rollout is compared with itself without them.
        most = places[:-1]
        texts = [batches[index][place]["completion"] for index, place in most]
        alarm["flagged"] = [list(at) for at in most]
        run = Run.open(undisturbed)
        for which in (0, -1):
            alarm["phrases"] = sorted({text.split()[which] for text in texts if text.split()})
            told_again = alarm | {"tried": [{"id": 1}]}
            events.write_bytes(before + json.dumps(alarm).encode() + b"\n")
            tried = answer(run, {"alarm": 1, "sets": [], "device": "cpu", "apply": None})["proposals"]
            assert len({tried[0][side]["n"] for side in ("flagged", "others", "apart")}) == 1
            apart = tried[0]["flagged"]["value"] - tried[0]["others"]["value"]
            assert tried[0]["apart"]["value"] == pytest.approx(apart, abs=1e-6)
            # Told again, more is tried only while what is said is not paid less than nothing already.
            events.write_bytes(before + json.dumps(told_again).encode() + b"\n")
            with trial(run, told_again) as opened:
                paid = opened.paid()
            assert paid is not None
            said = answer(run, {"alarm": 1, "sets": [], "device": "cpu", "apply": None})
            assert bool(said["proposals"]) == (paid.high >= 0)
            assert ("has yet to follow" in said["text"]) == (paid.high < 0)
        alarm["flagged"] = [list(at) for at in flagged]
        del alarm["phrases"]
        events.write_bytes(before + json.dumps(alarm).encode() + b"\n")
        shown = salmon("propose", undisturbed, "--alarm", "1")
        assert shown.returncode == 0, shown.stderr
        assert "draft: The response" in shown.stdout
        assert "there is no alarm 2" in salmon("propose", undisturbed, "--alarm", "2").stderr
    finally:
        events.write_bytes(before)


def test_finished_stages_are_skipped(undisturbed: Path) -> None:
    before = data_files(undisturbed)
    start = time.monotonic()
    done = subprocess.run(
        command(undisturbed.parent), env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.count("already done") == 8
    assert time.monotonic() - start < 30
    assert data_files(undisturbed) == before


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disturbed")
    run = folder / "minnow"
    ready = [
        lambda: (run / "sample" / "part-00001.parquet").exists(),
        checkpointed(run / "train-rm"),
        checkpointed(run / "train-policy"),
    ]
    for moment in ready:
        kill_when(command(folder), moment, env=environment())
    done = subprocess.run(command(folder), env=environment(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return run


def test_killed_runs_go_on_to_the_same_result(undisturbed: Path, disturbed: Path) -> None:
    assert data_files(disturbed) == data_files(undisturbed)
    for stage, name in (("train-rm", "loss"), ("train-policy", "reward")):
        manifest = json.loads((disturbed / stage / "manifest.json").read_text())
        assert manifest["metrics"]["resumed_from"] > 0
        assert losses(disturbed, stage, name) == pytest.approx(losses(undisturbed, stage, name), rel=1e-5, abs=1e-6)
