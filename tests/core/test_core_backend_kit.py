"""What backends share: options and what is wrong with them, results, what runs elsewhere, tables from schemas."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from pydantic import BaseModel, Field

from salmon_core.api import ComponentSpec, Job, Launch, Limits, ModelSpec, RewardSpec, paper
from salmon_core.api.training import LaunchPlan, LoggedStep, StageResult
from salmon_core.errors import ConfigError, StageError
from salmon_core.kit import foreign
from salmon_core.kit.training import (
    TrainerBackend,
    check_model,
    critic_start,
    environment,
    fill_blocks,
    finite,
    job_problems,
    option_table,
    read_job,
    read_metrics,
)


class Base(BaseModel, extra="forbid"):
    rate: float = Field(0.1, gt=0, description="how fast")
    quick: bool = Field(False, description="or slow")


class Special(Base):
    rate: float = Field(0.2, gt=0, description="faster", json_schema_extra=paper(0.3))
    names: list[str] = Field(default_factory=list, description="which")
    most: int | None = Field(None, description="null: all")


class Mine(TrainerBackend):
    name = "mine"
    stage_options = {"sft": Base}  # noqa: RUF012
    algorithm_options = {"ppo": Special}  # noqa: RUF012

    def plan(self, job: Job) -> LaunchPlan:
        raise NotImplementedError

    def steps(self, folder: Path):  # type: ignore[no-untyped-def]
        yield LoggedStep(1, {})

    def finish(self, job: Job, folder: Path) -> StageResult:
        raise NotImplementedError


def job(**more: object) -> Job:
    values = {
        "stage": "sft",
        "algorithm": "sft",
        "folder": "folder",
        "model": ModelSpec("model"),
        "data": {},
        "seed": 0,
    }
    return Job(**{**values, **more})  # type: ignore[arg-type]


def reward(model: ModelSpec | None) -> RewardSpec:
    engine, template = ComponentSpec("engines", "e", "dist"), ComponentSpec("templates", "t", "dist")
    return RewardSpec(template, Limits(), engine, model, ModelSpec("policy"))


def test_the_model_of_a_stage_or_algorithm() -> None:
    backend = Mine()
    assert backend.stages == {"sft", "train-policy"}
    assert backend.algorithms == {"ppo"}
    assert backend.options_for("sft") is Base
    assert backend.options_for("train-policy", "ppo") is Special
    with pytest.raises(ConfigError, match=r"algorithm.*backend mine has no 'grpo'.*one of: ppo"):
        backend.options_for("train-policy", "grpo")
    with pytest.raises(ConfigError, match="backend mine has no stage 'train-rm'"):
        backend.options_for("train-rm")


def test_everything_wrong_is_said_with_its_place() -> None:
    rl = {"stage": "train-policy", "algorithm": "ppo"}
    options = Mine().read_options(job(**rl, options={"rate": 3}))
    assert options == Special(rate=3)
    with pytest.raises(ConfigError) as error:
        Mine().read_options(job(**rl, options={"rate": -1, "most": "x", "other": 1}))
    assert [problem.where for problem in error.value.problems] == ["options.rate", "options.most", "options.other"]
    assert "there is no such option" in str(error.value)


def test_what_no_trainer_can_do() -> None:
    first, second = job_problems(job(stage="train-policy", model=ModelSpec("m", device="cuda:1")), 2)
    assert "cuda:1 is one GPU, but 2 are asked for" in str(first)
    assert "train-policy needs a reward" in str(second)
    assert not list(job_problems(job(model=ModelSpec("m", device="cuda:1")), 1))
    assert not list(job_problems(job(stage="train-policy", reward=reward(None)), 8))


def test_where_a_critic_starts() -> None:
    with_model, without = job(reward=reward(ModelSpec("rm"))), job(reward=reward(None))
    assert [critic_start(with_model, each) for each in (None, "policy", "/m")] == ["reward", "policy", "/m"]
    assert critic_start(without, None) == "policy"
    with pytest.raises(ConfigError, match=r"options.critic: is `reward`, but the reward has no reward model"):
        critic_start(without, "reward")


def test_a_job_comes_back_from_its_file(tmp_path: Path) -> None:
    made = job(stage="train-policy", reward=reward(ModelSpec("rm")), launch=Launch(2), options={"rate": 1.0})
    (tmp_path / "job.json").write_text(made.to_json())
    assert read_job(tmp_path / "job.json") == made
    for text in ("{", "{}", json.dumps({**asdict(made), "stage": "bake"})):
        (tmp_path / "job.json").write_text(text)
        with pytest.raises(StageError, match=r"job\.json: is no job"):
            read_job(tmp_path / "job.json")
    with pytest.raises(StageError, match="is no job"):
        read_job(tmp_path / "none.json")


def test_environment_of_a_process() -> None:
    plain = environment()
    assert plain["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert not {"OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"} & plain.keys()
    assert environment(threads=2, device="cuda:3") == {**plain, "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "3"}
    assert environment(device="cuda") == environment(device="cpu") == plain


def test_results_are_whole_and_finite(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no readable metrics"):
        read_metrics(tmp_path)
    for text, reason in (("[1]", "is no JSON object"), ('{"final": {"loss": NaN}}', "final.loss is nan")):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(StageError, match=reason):
            read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text('{"steps": 3, "final": {"loss": 0.5}}')
    assert read_metrics(tmp_path) == {"steps": 3, "final": {"loss": 0.5}}
    assert finite({"a": 1, "b": float("inf"), "c": "x", "d": 0.5}) == {"a": 1.0, "d": 0.5}
    for name in ("model.safetensors", "tokenizer_config.json"):
        with pytest.raises(StageError, match=r"is missing|was saved"):
            check_model(tmp_path, ["model.safetensors"])
        (tmp_path / name).write_text("")
    check_model(tmp_path, ["model.safetensors"])
    with pytest.raises(StageError, match=r"no config\.json was saved"):
        check_model(tmp_path, [], ["config.json"])


def test_a_table_of_what_a_model_adds() -> None:
    assert option_table(Special, Base).splitlines() == [
        "| option | default | meaning |",
        "|---|---|---|",
        "| `rate` | `0.2` | faster (paper: 0.3) |",
        "| `names` | `[]` | which |",
        "| `most` | `null` | null: all |",
    ]
    assert "| `quick` | `false` | or slow |" in option_table(Base)


def test_blocks_are_made_anew_and_nothing_else() -> None:
    text = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\nkept\n<!-- end -->\n"
    once = fill_blocks(text, {"one": "new | \\1", "absent": "never"})
    assert once == text.replace("old", "new | \\1")
    assert fill_blocks(once, {"one": "new | \\1"}) == once
    assert fill_blocks("<!-- one -->\nopen\n", {"one": "new"}) == "<!-- one -->\nopen\n"


# ---- what runs in an interpreter that has no salmon

STEP = """
import os, sys
sys.path.append(os.getcwd())
from salmon_foreign import Refused, leave_error, run, write_text
from pathlib import Path

def main():
    write_text(Path("deep/whole.txt"), "all of it")
    if sys.argv[1] == "refuse":
        raise Refused("too long", "rows.parquet", "cut it")

run(main)
if sys.argv[1] == "again":
    leave_error(Path.cwd(), "the first", where="here")
    leave_error(Path.cwd(), "the second")
"""


def step(folder: Path, word: str) -> subprocess.CompletedProcess[str]:
    """As a plan would start it, isolated: no salmon on the path."""
    for name, text in {**foreign.copy(), "step.py": STEP}.items():
        (folder / name).write_text(text)
    return subprocess.run([sys.executable, "-I", "-S", "step.py", word], cwd=folder, capture_output=True, text=True)


def test_a_refusal_is_left_for_the_pipeline(tmp_path: Path) -> None:
    done = step(tmp_path, "refuse")
    assert (done.returncode, done.stderr) == (1, "error: too long\n")
    error = json.loads((tmp_path / "error.json").read_text())
    assert error == {"message": "too long", "where": "rows.parquet", "hint": "cut it"}


def test_the_first_reason_stays(tmp_path: Path) -> None:
    assert step(tmp_path, "again").returncode == 0
    assert json.loads((tmp_path / "error.json").read_text()) == {"message": "the first", "where": "here", "hint": None}
    assert (tmp_path / "deep" / "whole.txt").read_text() == "all of it"
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_job_is_what_it_was_but_for_what_is_changed() -> None:
    first = job(launch=Launch(2))
    assert Job.from_json(replace(first, seed=5).to_json()) == replace(first, seed=5)
