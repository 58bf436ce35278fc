"""Planning: pure, light, and all that cannot work is said at once."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openrlhf_world import PYTHON, ROOT, parsed, training_step

from salmon_core.api import ComponentSpec, Job, Launch, LaunchPlan, Leaves, Limits, ModelSpec, RewardSpec
from salmon_core.errors import ConfigError
from salmon_core.kit import foreign
from salmon_openrlhf.algorithms import ALGORITHMS, ON_PREFERENCES
from salmon_openrlhf.backend import OUTSIDE, OpenRLHFBackend
from salmon_openrlhf.flags import REFUSED, known
from salmon_openrlhf.layout import layout
from salmon_openrlhf.options import GroupOptions, PolicyOptions, TrainOptions

EXAMPLES = ROOT / "examples"
#: what docs/cluster.md sets
TWO_NODES = (
    "train.options.nodes=2",
    "train.options.ray_address=auto",
    "train.options.reward_host=10.0.0.1",
    "train.options.vllm_engines=6",
    "sft.options.nodes=2",
    "sft.options.hostfile=/etc/hostfile",
    "reward_model.options.nodes=2",
    "reward_model.options.hostfile=/etc/hostfile",
)
#: what docs/cluster.md sets for TRL
TWO_NODES_TRL = (
    "train.launch.accelerate_config=cluster/two-nodes.yaml",
    "train.launch.processes=16",
    "train.algorithm=grpo",
    "train.options={lora: {r: 64}, num_generations: 8, per_device_train_batch_size: 2}",
)


def reward(model: str | None) -> RewardSpec:
    engine, template = ComponentSpec("engines", "e", "dist"), ComponentSpec("templates", "t", "dist")
    return RewardSpec(template, Limits(), engine, ModelSpec(model) if model else None, ModelSpec("/models/m"))


def make(stage: str = "train-rm", **more: Any) -> Job:
    values: dict[str, Any] = {
        "algorithm": {"sft": "sft", "pretrain-rm": "reward", "train-rm": "reward"}.get(stage, "grpo"),
        "folder": f"/runs/x/{stage}",
        "model": ModelSpec("/models/m"),
        "data": {"train": f"/runs/x/{stage}/data/train.parquet"},
        "seed": 1,
        "reward": reward("/runs/x/train-rm/model") if stage == "train-policy" else None,
        "python": "/opt/openrlhf/bin/python",
        **more,
    }
    return Job(stage=stage, **values)  # type: ignore[arg-type]


def plan(stage: str = "train-rm", **more: Any) -> LaunchPlan:
    return OpenRLHFBackend().plan(make(stage, **more))


def flags(found: LaunchPlan) -> dict[str, list[str]]:
    """Flags of the training step, as anybody would read them off its command line."""
    (step,) = [step for step in found.steps if step.name not in ("prepare", "merge", "export")]
    values: dict[str, list[str]] = {}
    for word in step.argv[step.argv.index(next(w for w in step.argv if w.startswith("openrlhf.cli"))) + 1 :]:
        if word.startswith("--"):
            values[word[2:]] = []
        else:
            values[next(reversed(values))].append(word)
    return values


def problems(stage: str = "train-rm", **more: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(stage, **more)
    return str(caught.value)


def test_planning_imports_no_trainer() -> None:
    code = (
        "import sys, salmon_openrlhf.plugin\n"
        "assert 'pydantic' not in sys.modules\n"
        "(component,) = salmon_openrlhf.plugin.salmon_backends()\n"
        "import salmon_openrlhf.backend\n"
        "heavy = {'torch', 'transformers', 'openrlhf', 'ray', 'vllm', 'deepspeed', 'numpy', 'pyarrow', 'aiohttp'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_stage_is_prepared_trained_exported() -> None:
    found = plan("train-rm")
    assert [step.name for step in found.steps] == ["prepare", "train-rm", "export"]
    assert all(step.argv[0] == "/opt/openrlhf/bin/python" for step in found.steps)
    assert found.steps[0].argv[1] == str(OUTSIDE / "prepare.py")
    assert Job.from_json(found.files["job.json"]) == make("train-rm")
    assert found.files[foreign.NAME] == Path(foreign.__file__).read_text()
    assert not found.services
    assert found == plan("train-rm")


def test_a_reward_model_goes_on_from_another_with_its_head() -> None:
    """OpenRLHF's own command would give it a fresh one."""
    first = plan("pretrain-rm")
    assert "openrlhf.cli.train_rm" in first.steps[1].argv
    whole = {"start": Leaves(base="/models/m")}
    step = plan("train-rm", made=whole).steps[1]
    before = plan("train-rm").steps[1]
    at = before.argv.index("openrlhf.cli.train_rm")
    assert step.argv == (*before.argv[: at - 1], str(OUTSIDE / "go_on.py"), *before.argv[at + 1 :])
    assert "loads no adapter" in problems("train-rm", made={"start": Leaves(adapter=True, base="/models/m")})
    assert "does not save the score head" in problems("pretrain-rm", options={"lora": {"r": 4}})
    for stage in ("pretrain-rm", "train-rm"):
        assert "no language model's head" in problems(stage, options={"lm_loss_coef": 0.5})


def test_rl_has_its_reward_server() -> None:
    found = plan("train-policy")
    (service,) = found.services
    assert service.name == "reward"
    assert service.argv[:3] == (sys.executable, "-m", "salmon_serve")
    said = flags(found)
    assert said["train.agent_func_path"] == ["/runs/x/train-policy/agent.py"]
    assert said["data.label_key"] == ["row"]
    assert json.loads(found.files["agent.json"]) == {"rows_per_engine": 72}


def test_rewards_are_not_clipped_and_nothing_is_added_to_them() -> None:
    for algorithm in ALGORITHMS:
        said = flags(plan("train-policy", algorithm=algorithm))
        low, high = map(float, said["reward.clip_range"])
        assert low <= -1e9
        assert high >= 1e9
        assert not {name for name in said if name.startswith("reward.")} - {
            "reward.clip_range",
            "reward.num_nodes",
            "reward.num_gpus_per_node",
        }
        assert said["train.num_episodes"] == ["1"]


def test_the_critic_is_always_said_and_starts_from_the_reward_model() -> None:
    assert flags(plan("train-policy", algorithm="ppo"))["critic.model_name_or_path"] == ["/runs/x/train-rm/model"]
    without = plan("train-policy", algorithm="ppo", reward=reward(None))
    assert flags(without)["critic.model_name_or_path"] == ["/models/m"]
    assert "the reward has no reward model" in problems(
        "train-policy", algorithm="ppo", reward=reward(None), options={"critic": "reward"}
    )
    chosen = plan("train-policy", algorithm="ppo", options={"critic": "/models/other"})
    assert flags(chosen)["critic.model_name_or_path"] == ["/models/other"]
    assert "critic.model_name_or_path" not in flags(plan("train-policy", algorithm="grpo"))


@pytest.mark.parametrize(
    ("algorithm", "estimator", "loss"),
    [
        ("ppo", "gae", None),
        ("reinforce++", "reinforce", None),
        ("reinforce++-baseline", "reinforce_baseline", "k2"),
        ("grpo", "group_norm", "k3"),
        ("rloo", "rloo", None),
    ],
)
def test_algorithms(algorithm: str, estimator: str, loss: str | None) -> None:
    said = flags(plan("train-policy", algorithm=algorithm))
    assert said["algo.advantage.estimator"] == [estimator]
    assert ("algo.kl.use_loss" in said) is (loss is not None)
    assert said.get("algo.kl.estimator", [None])[0] == loss
    assert (int(said["rollout.n_samples_per_prompt"][0]) > 1) is (estimator not in ("gae", "reinforce"))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_says_why(name: str) -> None:
    for stage in ("sft", "train-rm", "train-policy"):
        text = problems(stage, options={"extra": {name: 1}})
        assert f"options.extra.{name}: is refused: {REFUSED[name]}" in text


def test_upstream_faults_and_impossible_attention_are_refused() -> None:
    for stage in ("train-rm", "train-policy"):
        assert "OpenRLHF 0.11" in problems(stage, options={"extra": {"ds.lora.rank": 8}})
        assert "OpenRLHF 0.11" in problems(stage, options={"lora": {"r": 8}})
    for name in ("ds.packing_samples", "train.dynamic_batch_enable"):
        text = problems("train-policy", options={"attn_implementation": "eager", "extra": {name: True}})
        assert "needs flash-attention, not eager" in text
        plan("train-policy", options={"extra": {name: True}})
    assert "runs whatever code a model brings along" in problems(model=ModelSpec("/m", trust_remote_code=True))
    assert "cannot be float16" in problems("train-policy", model=ModelSpec("/m", dtype="float16"))
    assert "trains on GPUs" in problems(model=ModelSpec("/m", device="cpu"))
    assert "splits paths at commas" in problems(folder="/runs/a,b")


def test_extra_flags() -> None:
    said = flags(plan("train-policy", options={"extra": {"actor.dual_clip": 3.0, "ds.overlap_comm": True}}))
    assert said["actor.dual_clip"] == ["3.0"]
    assert said["ds.overlap_comm"] == []
    assert flags(plan(options={"extra": {"adam.betas": [0.9, 0.98]}}))["adam.betas"] == ["0.9", "0.98"]
    text = problems("train-policy", options={"extra": {"actor.dual_klip": 3, "train.seed": 2, "ds.overlap_comm": 1}})
    assert "no such flag (did you mean actor.dual_clip?)" in text
    assert "train.seed: is set by salmon" in text
    assert "takes `true`, or left out, not 1" in text
    for owned in ("train.colocate_all", "vllm.enable_sleep", "algo.kl.use_loss"):
        assert "is set by salmon" in problems("train-policy", options={"extra": {owned: True}})


def test_flags_that_we_set_exist() -> None:
    programs = [("sft", "sft", "train_sft"), ("train-rm", "reward", "train_rm"), ("train-policy", "dpo", "train_dpo")]
    for stage, algorithm, program in [*programs, *(("train-policy", name, "train_ppo_ray") for name in ALGORITHMS)]:
        for options in ({}, {"loss_type": "ipo_sum", "lora": {"r": 8}, "gradient_checkpointing": True}):
            said = flags(plan(stage, algorithm=algorithm, options=options if algorithm == "dpo" else {}))
            assert not said.keys() - known(program).keys()
            for name, values in said.items():
                kind = known(program)[name]["kind"]
                assert {"switch": len(values) == 0, "one": len(values) == 1, "many": len(values) > 1}[kind], name


def test_eight_gpus_and_two_nodes() -> None:
    options = {"nodes": 2, "gpus_per_node": 8, "vllm_tensor_parallel_size": 2, "ray_address": "auto"}
    options |= {"reward_host": "10.0.0.1", "generation_batch_size": 1024, "total_batch_size": 512}
    found = plan("train-policy", options=options)
    said = flags(found)
    assert (said["actor.num_nodes"], said["actor.num_gpus_per_node"]) == (["2"], ["8"])
    assert (said["vllm.num_engines"], said["vllm.tensor_parallel_size"]) == (["8"], ["2"])
    assert {"train.colocate_all", "vllm.enable_sleep", "ds.enable_sleep"} <= said.keys()
    assert found.steps[1].env["RAY_ADDRESS"] == "auto"
    assert found.services[0].argv[-2:] == ("--host", "10.0.0.1")
    rows = {"nodes": 2, "gpus_per_node": 8, "hostfile": "/etc/hosts.txt", "total_batch_size": 128}
    argv = plan("train-rm", options=rows).steps[1].argv
    assert argv[1:10] == (
        "-m",
        "deepspeed.launcher.runner",
        "--hostfile",
        "/etc/hosts.txt",
        "--num_nodes",
        "2",
        "--num_gpus",
        "8",
        "--module",
    )
    kept = plan("train-policy", options={"reward_gpu": 7, "gpus_per_node": 2, "colocate": "none", "vllm_engines": 3})
    assert kept.services[0].env["CUDA_VISIBLE_DEVICES"] == "7"
    assert kept.steps[1].env["CUDA_VISIBLE_DEVICES"] == "0,1,2,3,4,5,6"


def test_sft_with_an_adapter_is_merged() -> None:
    found = plan("sft", options={"lora": {"r": 8}})
    assert [step.name for step in found.steps] == ["prepare", "sft", "merge", "export"]
    assert flags(found)["ds.lora.rank"] == ["8"]
    assert "openrlhf.cli.lora_combiner" in found.steps[2].argv
    assert flags(found)["data.input_template"] == ["{}"]


def test_batches_fit_gpus_and_engines() -> None:
    text = problems("train-policy", options={"gpus_per_node": 7, "colocate": "none", "vllm_engines": 5})
    assert "x 7 GPUs" in text
    assert "vllm_engines (5)" in text
    text = problems("train-policy", options={"gpus_per_node": 8, "vllm_engines": 3})
    assert "8 GPUs, not 3 x 1" in text
    assert "multiple of 4" in problems("train-policy", algorithm="ppo", options={"save_steps": 6})
    assert "needs a hostfile" in problems(options={"nodes": 2})
    assert "absolute path" in problems(options={"nodes": 2, "hostfile": "hosts.txt"})
    assert "not started by accelerate" in problems(launch=Launch(1, "/a.yaml"))
    assert "cuda:1 is one GPU, but 2" in problems(launch=Launch(2), model=ModelSpec("/m", device="cuda:1"))


@given(st.integers(1, 4), st.integers(1, 8), st.integers(1, 4), st.integers(1, 3), st.integers(2, 8), st.integers(1, 3))
def test_layout_adds_up(nodes: int, gpus: int, micro: int, batches: int, group: int, iterations: int) -> None:
    step = nodes * gpus * micro * group
    options = GroupOptions(
        nodes=nodes,
        gpus_per_node=gpus,
        per_device_train_batch_size=micro,
        total_batch_size=step,
        generation_batch_size=step * batches,
        num_generations=group,
        num_iterations=iterations,
    )
    found, wrong = layout(options, 1)
    assert not wrong
    assert found.engines == nodes * gpus
    assert options.window == batches * iterations
    assert options.prompts * group == options.generation_batch_size


def test_validated_dump_is_valid_again() -> None:
    for stage in ("sft", "train-rm", "train-policy"):
        for algorithm in [*ALGORITHMS, *ON_PREFERENCES] if stage == "train-policy" else [None]:
            model = OpenRLHFBackend().options_for(stage, algorithm)
            assert issubclass(model, TrainOptions)
            assert model.model_validate(model().model_dump()) == model()


def test_rows_for_the_steps_asked() -> None:
    backend = OpenRLHFBackend()
    job = make("train-policy", options={"max_steps": 8, "num_generations": 4, "num_iterations": 2})
    assert backend.rows_needed(job) == 2 * 144
    assert backend.rows_needed(make("train-policy")) is None


@pytest.mark.slow
def test_every_stage_of_the_examples_can_be_planned(tmp_path: Path) -> None:
    """What `salmon plan` prints in the quickstart's environment, where no OpenRLHF is."""
    for name, changes in (
        ("salmon-8b-openrlhf", ()),
        ("salmon-8b-openrlhf", TWO_NODES),
        ("salmon-8b", ()),
        ("salmon-8b", TWO_NODES_TRL),
    ):
        argv = [sys.executable, "-m", "salmon_core", "plan", "--json", str(EXAMPLES / f"{name}.yaml")]
        for change in changes:
            argv += ["--set", change]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        stages = json.loads(done.stdout)
        assert list(stages) == [
            "prompts", "sft", "sample", "judge", "verdict", "label", "train-rm", "train-policy", "evaluate"
        ]  # fmt: skip
        for stage in ("sft", "train-rm", "train-policy"):
            text = " ".join(" ".join(step["argv"]) for step in stages[stage]["steps"])
            assert ("openrlhf.cli" in text) is name.endswith("openrlhf")
            if changes:
                assert any(word in text for word in ("--num_nodes 2", "--actor.num_nodes 2", "--num_processes 16"))
            elif stage != "train-policy":
                assert "--nproc-per-node=8" in text


# -- against the real thing ---------------------------------------------------------------------------------------


@pytest.mark.openrlhf
def test_the_flags_we_know_are_openrlhfs() -> None:
    done = subprocess.run([PYTHON, str(OUTSIDE / "list_flags.py")], capture_output=True, text=True, check=True)
    programs = ("train_sft", "train_rm", "train_ppo_ray", "train_dpo")
    assert json.loads(done.stdout) == {name: dict(known(name)) for name in programs}


@pytest.mark.openrlhf
@pytest.mark.parametrize("stage", ["sft", "train-rm", *ALGORITHMS])
def test_plans_go_through_openrlhfs_real_parsers(stage: str) -> None:
    python = Path(PYTHON)
    rl = stage in ALGORITHMS
    found = plan("train-policy", algorithm=stage) if rl else plan(stage)
    got = parsed(*training_step(found), python)
    assert got["train"]["seed"] == 1
    assert got["ckpt"]["load_enable"] is True
    if not rl:
        assert got["data"]["dataset"] == f"/runs/x/{stage}/data/train.parquet"
        assert got["data"].get("input_template") == ("{}" if stage == "sft" else None)
        return
    options = ALGORITHMS[stage].options()
    assert got["reward"]["remote_url"] == ["agent"]
    assert got["reward"]["clip_range"] == [-1e9, 1e9]
    assert got["critic"]["model_name_or_path"] == ("/runs/x/train-rm/model" if stage == "ppo" else None)
    assert got["rollout"]["batch_size"] * got["rollout"]["n_samples_per_prompt"] == options.generation_batch_size
    assert got["algo"]["kl"]["init_coef"] == 0.01
    assert got["reward"]["normalize_enable"] is False
    assert got["reward"]["overlong_buffer_len"] is got["reward"]["stop_properly_penalty_coef"] is None


@pytest.mark.openrlhf
@pytest.mark.parametrize("changes", [(), TWO_NODES])
def test_the_examples_go_through_openrlhfs_real_parsers(changes: tuple[str, ...], tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "salmon_core", "plan", "--json", str(EXAMPLES / "salmon-8b-openrlhf.yaml")]
    argv += [word for change in changes for word in ("--set", change)]
    stages = json.loads(subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
    for stage, program in (("sft", "train_sft"), ("train-rm", "train_rm"), ("train-policy", "train_ppo_ray")):
        (words,) = [step["argv"] for step in stages[stage]["steps"] if f"openrlhf.cli.{program}" in step["argv"]]
        got = parsed(program, tuple(words[words.index(f"openrlhf.cli.{program}") + 1 :]), Path(PYTHON))
        assert got["ds"]["zero_stage"] == 3


def test_what_runs_outside_needs_no_salmon() -> None:
    """Those files run in an interpreter that has none, but for the copy of one module of the standard library alone."""
    for file in (*OUTSIDE.glob("*.py"), Path(foreign.__file__)):
        tree = ast.parse(file.read_text())
        names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        names |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        own = {name.split(".")[0] for name in names}
        assert not {name for name in own if name.startswith("salmon")} - {foreign.NAME.removesuffix(".py")}
        assert file.parent == OUTSIDE or own <= sys.stdlib_module_names
    assert os.access(OUTSIDE, os.R_OK)
    assert issubclass(PolicyOptions, TrainOptions)
