"""Planning: pure, light, and all that cannot work is said at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from salmon_core.api import Job, Launch, ModelSpec, RewardSpec
from salmon_core.errors import ConfigError, StageError
from salmon_trl.backend import TRLBackend
from salmon_trl.layout import layout
from salmon_trl.options import GroupOptions, PPOOptions, RewardOptions, TrainOptions


def make(stage: str = "train-rm", **more: object) -> Job:
    values = {"algorithm": "reward", "folder": "/runs/x", "model": ModelSpec("/models/m"), "data": {}, "seed": 1}
    return Job(stage=stage, **{**values, **more})  # type: ignore[arg-type]


def reward() -> RewardSpec:
    from trl_world import reward_spec

    return reward_spec(Path("/bonus.py"), None, Path("/models/m"))


def test_planning_imports_no_trainer() -> None:
    code = (
        "import sys, salmon_trl.plugin\n"
        "assert 'pydantic' not in sys.modules\n"
        "(component,) = salmon_trl.plugin.salmon_backends()\n"
        "import salmon_trl.backend, salmon_trl.worker\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'peft', 'accelerate', 'numpy', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert component.target == 'salmon_trl.backend:TRLBackend'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plan_is_one_step() -> None:
    job = make(options={"threads": 1})
    plan = TRLBackend().plan(job)
    (step,) = plan.steps
    assert step.argv == (sys.executable, "-m", "salmon_trl.worker", "job.json")
    assert step.env["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert step.env["OMP_NUM_THREADS"] == "1"
    assert Job.from_json(plan.files["job.json"]) == job
    assert plan == TRLBackend().plan(job)


def test_plan_of_several_processes() -> None:
    job = make(launch=Launch(2), python="/opt/bin/python")
    assert TRLBackend().plan(job).steps[0].argv[:5] == (
        "/opt/bin/python",
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
    )
    job = make(launch=Launch(1, "/a.yaml"))
    assert "accelerate.commands.launch" in TRLBackend().plan(job).steps[0].argv


def test_one_gpu_by_name() -> None:
    job = make(model=ModelSpec("/m", device="cuda:1"))
    assert TRLBackend().plan(job).steps[0].env["CUDA_VISIBLE_DEVICES"] == "1"
    with pytest.raises(ConfigError, match="one GPU"):
        TRLBackend().plan(make(model=ModelSpec("/m", device="cuda:1"), launch=Launch(2)))


def test_defaults_are_the_papers() -> None:
    rm, policy = RewardOptions(), PPOOptions()
    assert (rm.learning_rate, rm.warmup_steps, rm.total_batch_size, rm.max_length) == (3e-5, 0.03, 64, 1280)
    assert (policy.learning_rate, policy.warmup_steps, policy.kl_coef, policy.temperature) == (2e-5, 5, 0.01, 0.7)
    assert (policy.generation_batch_size, policy.total_batch_size, policy.num_iterations) == (576, 288, 2)
    assert layout(policy, 1)[0].window == 4  # type: ignore[union-attr]
    assert GroupOptions().beta == policy.kl_coef


def test_the_papers_numbers_stand_beside_the_options() -> None:
    numbers = {}
    for stage, algorithm in (("train-rm", None), ("train-policy", "ppo"), ("train-policy", "grpo")):
        fields = TRLBackend().options_for(stage, algorithm).model_fields
        extras = {name: field.json_schema_extra for name, field in fields.items()}
        numbers[algorithm or stage] = {n: e["paper"] for n, e in extras.items() if isinstance(e, dict) and "paper" in e}
    assert numbers["train-rm"] == {
        "learning_rate": 3e-5, "num_train_epochs": 1, "max_length": 1280, "quantization": "nf4"
    }  # fmt: skip
    rl = {"learning_rate": 2e-5, "temperature": 0.7, "num_iterations": 2, "max_completion_length": 1024}
    rl |= {"warmup_steps": 5, "total_batch_size": 288, "generation_batch_size": 576}
    assert numbers["grpo"] == {**rl, "beta": 0.01, "quantization": "nf4"}
    assert numbers["ppo"] == {
        **rl, "kl_coef": 0.01, "sharing": "adapters", "quantization": "nf4", "whiten_advantages": True
    }  # fmt: skip


def test_it_is_the_one_taken_where_none_is_named() -> None:
    from salmon_trl import plugin

    (component,) = plugin.salmon_backends()
    assert component.default


def test_all_impossible_combinations_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        GroupOptions(
            generation_batch_size=100,
            total_batch_size=64,
            num_generations=8,
            merge=False,
            extra={"mask_truncated_completions": True, "beta": 1},
        )
    text = str(caught.value)
    for part in (
        "multiple of num_generations",
        "multiple of total_batch_size",
        "merge: false",
        "mask_trunc",
        "extra.beta",
    ):
        assert part in text


def test_save_steps_fit_the_rollout_window() -> None:
    job = make("train-policy", algorithm="grpo", reward=reward(), options={"save_steps": 6})
    with pytest.raises(ConfigError, match=r"save_steps \(6\) must be a multiple of 4"):
        TRLBackend().plan(job)


def test_options_of_another_algorithm() -> None:
    job = make("train-policy", algorithm="rloo", reward=reward(), options={"loss_type": "dapo"})
    with pytest.raises(ConfigError, match="means nothing to rloo"):
        TRLBackend().plan(job)
    with pytest.raises(ConfigError, match="no 'kto'"):
        TRLBackend().plan(make("train-policy", algorithm="kto", reward=reward()))


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8), st.integers(1, 4), st.integers(1, 3), st.integers(2, 8))
def test_layout_adds_up(
    device: int, accumulation: int, batches: int, processes: int, iterations: int, group: int
) -> None:
    step = device * processes * accumulation
    options = GroupOptions(
        per_device_train_batch_size=device * group,
        total_batch_size=step * group,
        generation_batch_size=step * group * batches,
        num_generations=group,
        num_iterations=iterations,
    )
    found, problems = layout(options, processes)
    assert not problems
    assert found is not None
    assert found.accumulation == accumulation
    assert found.window == batches * iterations
    assert found.prompts * group == options.generation_batch_size


def test_validated_dump_is_valid_again() -> None:
    for stage, algorithm in (("sft", None), ("train-rm", None), ("train-policy", "ppo"), ("train-policy", "grpo")):
        model = TRLBackend().options_for(stage, algorithm)
        assert issubclass(model, TrainOptions)
        assert model.model_validate(model().model_dump()) == model()


def test_finish_wants_files_and_finite_metrics(tmp_path: Path) -> None:
    job, backend = make(folder=str(tmp_path)), TRLBackend()
    with pytest.raises(StageError, match="metrics"):
        backend.finish(job, tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"final": {"loss": float("nan")}}))
    with pytest.raises(StageError, match=r"final\.loss is nan"):
        backend.finish(job, tmp_path)
    (tmp_path / "metrics.json").write_text(json.dumps({"final": {"loss": 1.0}, "files": ["model.safetensors"]}))
    with pytest.raises(StageError, match=r"model\.safetensors is missing"):
        backend.finish(job, tmp_path)


def test_steps_leave_out_a_torn_line(tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_text('{"step": 1, "values": {"loss": 2.0}}\n{"step": 2, "val')
    assert [(s.step, s.values) for s in TRLBackend().steps(tmp_path)] == [(1, {"loss": 2.0})]
    assert not list(TRLBackend().steps(tmp_path / "nothing"))


def test_documented_options_are_the_schemas() -> None:
    from salmon_trl.document import fill

    text = (Path(__file__).resolve().parents[2] / "docs" / "backends" / "trl.md").read_text()
    assert text == fill(text), "run python -m salmon_trl.document docs/backends/trl.md"
