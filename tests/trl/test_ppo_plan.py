"""PPO as the pipeline sees it: options, plans, refusals, what is logged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from salmon_core.api import Job, Launch, ModelSpec, RewardSpec
from salmon_core.errors import ConfigError
from salmon_trl.backend import TRLBackend
from salmon_trl.layout import layout
from salmon_trl.options import GroupOptions, PPOOptions, RolloutOptions


def make(**more: Any) -> Job:
    values: dict[str, Any] = {"algorithm": "ppo", "folder": "/runs/x", "model": ModelSpec("/models/m"), "data": {}}
    return Job(stage="train-policy", **{**values, "seed": 1, "reward": reward(), **more})


def reward(model: ModelSpec | None = None) -> RewardSpec:
    from trl_world import reward_spec

    return reward_spec(Path("/bonus.py"), model, Path("/models/m"))


def problems(**options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        TRLBackend().plan(make(options=options))
    return str(caught.value)


def test_ppo_is_what_the_paper_runs() -> None:
    options = PPOOptions()
    assert TRLBackend().options_for("train-policy", "ppo") is PPOOptions
    assert TRLBackend().options_for("train-policy", "grpo") is GroupOptions
    assert {"ppo", "grpo", "rloo"} <= TRLBackend.algorithms
    assert (options.kl_coef, options.num_generations, options.num_iterations, options.temperature) == (0.01, 1, 2, 0.7)
    assert (options.max_completion_length, options.warmup_steps, options.max_grad_norm) == (1024, 5, 1.0)
    assert options.whiten_advantages
    assert options.sharing == "separate"
    found, none = layout(options, 4)
    assert not none
    assert found is not None
    assert (found.window, found.prompts, found.accumulation) == (4, 576, 9)


def test_the_plan_is_the_same_step() -> None:
    plan = TRLBackend().plan(make(options={"threads": 1}))
    assert plan.steps[0].argv[1:] == ("-m", "salmon_trl.worker", "job.json")
    plan = TRLBackend().plan(make(launch=Launch(2)))
    assert "torch.distributed.run" in plan.steps[0].argv


def test_windows() -> None:
    sizes = {"total_batch_size": 16, "generation_batch_size": 64, "num_iterations": 3}
    TRLBackend().plan(make(options={**sizes, "save_steps": 24}))
    assert "save_steps (18) must be a multiple of 12" in problems(**sizes, save_steps=18)
    assert "must be a multiple of total_batch_size" in problems(generation_batch_size=100, total_batch_size=64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sharing": "adapters"}, "sharing: adapters needs lora"),
        ({"sharing": "adapters", "lora": {}, "critic": "/models/rm"}, "not from a model"),
        ({"critic": "reward"}, "options.critic: is `reward`, but the reward has no reward model"),
        ({"quantization": "nf4"}, "quantization needs sharing: adapters"),
        ({"quantization": "int3", "sharing": "adapters", "lora": {}}, "nf4"),
        ({"sharing": "some"}, "'separate' or 'adapters'"),
        ({"kl_coef": -1}, "greater than or equal to 0"),
        ({"gamma": 1.2}, "less than or equal to 1"),
        ({"kl_estimator": "k2"}, "'k1' or 'k3'"),
        ({"beta": 0.1}, "there is no such option"),
        ({"loss_type": "dapo"}, "there is no such option"),
        ({"critic_lora": {"rank": 4}}, "there is no such option"),
        ({"extra": {"kl_coef": 1}}, "extra.kl_coef is an option of its own"),
        ({"extra": {"load_best_model_at_end": True}}, "load_best_model_at_end is refused"),
        ({"extra": {"mask_truncated_completions": True}}, "mask_truncated_completions is refused"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], message: str) -> None:
    assert message in problems(**options)


def test_several_reasons_at_once() -> None:
    text = problems(sharing="adapters", critic="/models/rm", merge=False, generation_batch_size=100)
    for part in ("needs lora", "not from a model", "merge: false needs lora", "multiple of total_batch_size"):
        assert part in text


@pytest.mark.parametrize("name", sorted(set(PPOOptions.model_fields) - set(RolloutOptions.model_fields)))
def test_other_algorithms_have_none_of_its_options(name: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        GroupOptions.model_validate({name: 0.5})


# ---- what a run writes


def test_what_is_logged(tmp_path: Path) -> None:
    """Each component, the critic and the arguments of TRL, in steps.jsonl and for TensorBoard."""
    pytest.importorskip("trl")
    import ppo_world as ppo
    import trl_world as world

    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    policy = ppo.make_policy(tmp_path / "policy")
    scorer = ppo.make_scorer(tmp_path / "scorer", policy)
    options = {"kl_coef": 0.05, "kl_estimator": "k3", "lam": 0.9, "report_to": ["tensorboard"]}
    job = ppo.ppo_job(tmp_path / "stage", policy, scorer, rows=16, options=options)
    folder = ppo.work(job)
    logged = world.steps(folder)
    assert [step for step, _ in logged] == [1, 2, 3, 4]
    first = logged[0][1]
    names = {"reward", "reward/rm/mean", "reward/rm/std", "reward/words/mean", "kl", "entropy"}
    names |= {
        f"value/{name}" for name in ("loss", "mean", "return", "explained_variance", "grad_norm", "clip_fraction")
    }
    assert names <= set(first)
    assert "value/explained_variance" not in logged[1][1]  # once a generated batch
    assert first["reward"] == pytest.approx(first["reward/rm/mean"] + first["reward/words/mean"], abs=1e-5)
    assert "frac_reward_zero_std" not in first
    scalars = accumulator.EventAccumulator(str(folder / "tb")).Reload()
    for name in names:
        got = {event.step: event.value for event in scalars.Scalars(name)}
        wanted = {step: values[name] for step, values in logged if name in values}
        assert got == pytest.approx(wanted, rel=1e-5)
    assert any(path.name.startswith("events.out") for path in tmp_path.rglob("*") if folder / "tb" not in path.parents)


def test_settings_reach_the_trainer() -> None:
    """Every option of PPO's own that is a setting of PPOConfig, by the same name and with the same default."""
    pytest.importorskip("trl")
    from dataclasses import fields

    from salmon_trl.ppo_config import PPOConfig
    from salmon_trl.rollouts import PPO

    options = PPOOptions(use_vllm=True, vllm_mode="server", missing_eos_penalty=2.0, gamma=0.5)
    defaults = {field.name: field.default for field in fields(PPOConfig)}
    settings = PPO.settings(options)
    assert settings["missing_eos_penalty"] == 2.0
    assert settings["gamma"] == 0.5
    assert PPO.settings(PPOOptions()) == {name: defaults[name] for name in settings}
    own = set(PPOOptions.model_fields) - set(RolloutOptions.model_fields)
    assert own - set(settings) == {"critic", "critic_lora", "critic_reads", "sharing"}


@pytest.mark.parametrize("mode", ["colocate", "server"])
@pytest.mark.parametrize("algorithm", ["ppo", "grpo", "rloo"])
def test_vllm_settings_reach_trl(algorithm: str, mode: str, tmp_path: Path) -> None:
    """Ours by option, TRL's other ones by `extra`; that vLLM then works in a trainer is not tested."""
    pytest.importorskip("trl")
    from salmon_trl.checking import _configuration
    from salmon_trl.common import Run

    own = {"vllm_server_base_url": "http://127.0.0.1:9"} if mode == "server" else {"vllm_tensor_parallel_size": 2}
    job = make(
        algorithm=algorithm,
        options={"use_vllm": True, "vllm_mode": mode, "vllm_gpu_memory_utilization": 0.25, "extra": own, "bf16": False},
    )
    job = replace(job, model=replace(job.model, device="cpu"))
    options = TRLBackend().options_of(job)
    found, _ = layout(options, 1)
    assert found is not None
    args = Run(job, options, tmp_path, found).arguments(*_configuration(job, options), steps=found.window)
    assert (args.use_vllm, args.vllm_mode, args.vllm_gpu_memory_utilization) == (True, mode, 0.25)
    assert {name: getattr(args, name) for name in own} == own


def test_vllm_is_asked_for_by_name(tmp_path: Path, capsys: Any) -> None:
    """Not installed here: TRL says so, in one line."""
    pytest.importorskip("trl")
    from importlib.util import find_spec

    if find_spec("vllm"):
        pytest.skip("vLLM is installed")
    import ppo_world as ppo

    policy = ppo.make_policy(tmp_path / "policy")
    message = ppo.failure(ppo.ppo_job(tmp_path / "stage", policy, rows=8, options={"use_vllm": True}))
    assert "vLLM" in message
    assert "Traceback" not in capsys.readouterr().err
