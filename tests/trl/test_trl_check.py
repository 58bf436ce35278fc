"""What TRL would refuse hours later is said by `salmon check`."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl")
import trl_world as world

from salmon_core.api import Job, Launch, Leaves, ModelSpec
from salmon_core.errors import ConfigError
from salmon_trl.backend import TRLBackend

ROOT = Path(__file__).parents[2]
SALMON = Path(sys.executable).parent / "salmon"


def check(*overrides: str) -> subprocess.CompletedProcess[str]:
    argv = [str(SALMON), "check", str(ROOT / "examples" / "minnow.yaml")]
    for override in overrides:
        argv += ["--set", override]
    env = os.environ | {"SALMON_QUICK": ""}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=env)


def test_arguments_and_trackers_of_all_stages_at_once() -> None:
    done = check(
        "train.options.extra={foo: 1}",
        "train.options.report_to=[wandbb]",
        "reward_model.options.report_to=[wandb]",
        "reward_model.options.extra={learning_rat: 1.0}",
    )
    assert done.returncode == 2, done.stderr
    assert "4 problems" in done.stderr
    for text in (
        "train: options.extra.foo: PPOConfig has no such argument",
        "train: options.report_to: 'wandbb' cannot be used",
        "reward_model: options.report_to: 'wandb' cannot be used",
        "reward_model: options.extra.learning_rat: RewardConfig has no such argument (did you mean learning_rate?)",
    ):
        assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("policy.model=nobody/nothing-here", "policy.model: nobody/nothing-here: cannot load its configuration"),
        ("policy.adapter=./nowhere", "policy.model: ./nowhere: no such adapter folder"),
        ("reward_model.path=plugin:minnow", "reward_model.path"),
    ],
)
def test_a_model_that_is_not_there_or_another(override: str, says: str) -> None:
    done = check(override) if "path" not in override else check(override, "reward_model.options={}")
    assert done.returncode == 2, done.stdout
    assert says in done.stderr


# -- contracts between stages, known without trying anything ---------------------------------------------------------


def job(tmp_path: Path, **options: object) -> Job:
    spec = world.reward_spec(world.write_bonus(tmp_path / "bonus.py"), ModelSpec(str(tmp_path / "rm")), tmp_path / "p")
    return world.job(
        "train-policy", tmp_path / "s", tmp_path / "p", {"train": "x"}, algorithm="ppo", reward=spec, options=options
    )


def problems(asked: Job) -> str:
    with pytest.raises(ConfigError) as caught:
        TRLBackend().plan(asked)
    return str(caught.value)


def test_adapters_need_a_reward_model_that_is_one(tmp_path: Path) -> None:
    asked = job(tmp_path, sharing="adapters", lora={"r": 4})
    own = Leaves(adapter=True, base=asked.model.path)
    TRLBackend().plan(replace(asked, made={"reward": own}))
    whole = problems(replace(asked, made={"reward": Leaves(base=asked.model.path)}))
    assert "train-rm will leave a whole model, not an adapter" in whole
    other = problems(replace(asked, made={"reward": Leaves(adapter=True, base="other/model")}))
    assert "train-rm adapts other/model" in other
    (tmp_path / "rm").mkdir()
    (tmp_path / "rm" / "config.json").write_text("{}")
    assert "is a whole model, not an adapter" in problems(asked)


def test_a_run_that_trains_its_reward_model_in_full_is_refused_at_once() -> None:
    done = subprocess.run(
        [SALMON, "check", ROOT / "examples" / "minnow.yaml", "--quick", "--set", "train.options.sharing=adapters",
         "--set", "train.options.lora={r: 4}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "train: options.sharing: adapters: train-rm will leave a whole model" in done.stderr


def test_ppo_is_sharded_by_fsdp2(tmp_path: Path) -> None:
    file = tmp_path / "launch.yaml"
    file.write_text("distributed_type: FSDP\nnum_processes: 2\nfsdp_config: {fsdp_version: 2}\n")
    asked = replace(job(tmp_path), launch=Launch(2, str(file)))
    TRLBackend().plan(asked)
    with_lora = replace(asked, options={**asked.options, "lora": {"r": 4}})
    assert "trained whole, not adapters" in problems(with_lora)
    file.write_text("distributed_type: FSDP\nnum_processes: 2\nfsdp_config: {fsdp_version: 1}\n")
    assert "by FSDP2 alone" in problems(asked)


@pytest.mark.parametrize("kind", ["DEEPSPEED", "MEGATRON_LM"])
def test_ppo_is_not_sharded(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "launch.yaml"
    file.write_text(f"distributed_type: {kind}\nnum_processes: 2\n")
    asked = replace(job(tmp_path), launch=Launch(2, str(file)))
    assert f"PPO on TRL does not run under {kind}" in problems(asked)
    file.write_text("distributed_type: MULTI_GPU\nnum_processes: 2\n")
    TRLBackend().plan(asked)
