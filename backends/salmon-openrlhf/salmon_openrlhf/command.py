"""From a job and its options to the command lines of OpenRLHF 0.11."""

from __future__ import annotations

import json
from pathlib import Path

from salmon_core.api import Job
from salmon_core.errors import ConfigError, Problem
from salmon_core.kit.training import critic_start
from salmon_openrlhf.algorithms import ALGORITHMS, ON_PREFERENCES
from salmon_openrlhf.flags import Flags, as_argv, lora_reason, problems
from salmon_openrlhf.layout import Layout
from salmon_openrlhf.options import (
    DPOOptions,
    PolicyOptions,
    PPOOptions,
    RewardOptions,
    RowOptions,
    SFTOptions,
    TrainOptions,
)

#: run by path in OpenRLHF's interpreter, where no salmon is installed
OUTSIDE = Path(__file__).parent / "outside"
#: OpenRLHF clips rewards at 10 unless told otherwise; salmon's are what they are
NO_CLIPPING = (-1000000000, 1000000000)
#: more than any data set has: nothing is left out
ALL = 100000000
_STEPS_BETWEEN = 100
_ROLLOUTS_BETWEEN = 10


def program_of(job: Job) -> str:
    """OpenRLHF's program that trains it, a module of `openrlhf.cli`."""
    if job.stage == "train-policy":
        return "train_dpo" if job.algorithm in ON_PREFERENCES else "train_ppo_ray"
    return {"sft": "train_sft", "pretrain-rm": "train_rm", "train-rm": "train_rm"}[job.stage]


def training(job: Job, options: TrainOptions, layout: Layout, python: str) -> tuple[tuple[str, ...], list[Problem]]:
    """The training command, and what is wrong with the flags the user added."""
    program = program_of(job)
    try:
        ours = _rl(job, options, layout) if isinstance(options, PolicyOptions) else _rows(job, options)
    except ConfigError as error:
        return (), list(error.problems)
    found = list(problems(program, ours, options.extra, options.attn_implementation))
    goes_on = "start" in job.made
    what = (str(OUTSIDE / "go_on.py"),) if goes_on else ("-m", f"openrlhf.cli.{program}")
    argv = (*_launcher(options, layout, python, what), *as_argv(ours | options.extra))
    return argv, found


def merging(job: Job, python: str) -> tuple[str, ...]:
    """Merges an adapter into the model it was trained on."""
    folder = Path(job.folder)
    flags = {"model_path": start_of(job), "lora_path": folder / "output", "output_path": folder / "merged"}
    return (python, "-m", "openrlhf.cli.lora_combiner", *as_argv({**flags, "ds.param_dtype": _dtype(job)}))


def start_of(job: Job) -> str:
    """The model to start from: the job's own, or a copy that `prepare` has to make first.

    A reward model needs a pad token of its own; an adapter has to be merged, for OpenRLHF loads none.
    """
    if job.algorithm == "reward" or job.model.adapter is not None:
        return str(Path(job.folder) / "start")
    return job.model.path


def critic_of(job: Job, options: PolicyOptions) -> str | None:
    """The model that the critic of an RL job starts from; None where there is no critic.

    Raises:
        ConfigError: the reward model, and there is none.
    """
    if not isinstance(options, PPOOptions):
        return None
    start = critic_start(job, options.critic)
    if start == "reward" and job.reward is not None and job.reward.model is not None:
        return job.reward.model.path
    return start_of(job) if start == "policy" else start


def save_every(options: PolicyOptions) -> int:
    """Generated batches between checkpoints."""
    if options.save_steps is not None:
        return options.save_steps // options.window
    if options.max_steps is not None:
        return max(1, options.max_steps // options.window // 10)
    return _ROLLOUTS_BETWEEN


def _launcher(options: TrainOptions, layout: Layout, python: str, what: tuple[str, ...]) -> tuple[str, ...]:
    """How `what`, a script's path or `-m` and a module, is started."""
    if isinstance(options, PolicyOptions):
        return (python, *what)  # Ray starts the rest
    if isinstance(options, RowOptions) and options.hostfile is not None:
        machines = ("--hostfile", options.hostfile, "--num_nodes", str(options.nodes))
        named = ("--module", what[-1]) if what[0] == "-m" else what
        return (python, "-m", "deepspeed.launcher.runner", *machines, "--num_gpus", str(layout.gpus), *named)
    return (python, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={layout.gpus}", *what)


def _dtype(job: Job) -> str:
    return "fp16" if job.model.dtype == "float16" else "bf16"


def _shared(job: Job, options: TrainOptions) -> Flags:
    folder = Path(job.folder)
    flags: Flags = {
        "train.seed": job.seed % 2**31,
        "train.batch_size": options.total_batch_size,
        "train.micro_batch_size": options.per_device_train_batch_size,
        "ds.zero_stage": options.zero_stage,
        "ds.param_dtype": _dtype(job),
        "ds.attn_implementation": options.attn_implementation,
        "ckpt.output_dir": folder / "output",
        "ckpt.path": folder / "checkpoints",
        "ckpt.max_num": options.save_total_limit,
        "ckpt.load_enable": True,
        "logger.logging_steps": options.logging_steps,
        "logger.tensorboard_dir": folder / "tb",
        "logger.wandb.run_name": "salmon",  # names the folder in tb/
    }
    if options.offload_optimizer:
        flags["ds.adam_offload"] = True
    return flags


def _optimizer(options: TrainOptions, rate: float, warmup: float, prefix: str = "") -> Flags:
    return {
        f"{prefix}adam.lr": rate,
        f"{prefix}adam.weight_decay": options.weight_decay,
        f"{prefix}lr_scheduler": options.lr_scheduler_type,
        f"{prefix}lr_warmup_ratio": warmup,
        f"{prefix}max_norm": options.max_grad_norm,
    }


def _rows(job: Job, options: TrainOptions) -> Flags:
    assert isinstance(options, RowOptions)
    flags: Flags = {
        "model.model_name_or_path": start_of(job),
        "data.dataset": job.data["train"],
        "data.max_samples": ALL,
        "data.max_len": options.max_length,
        "train.max_epochs": options.num_train_epochs,
        **_optimizer(options, options.learning_rate, options.warmup_steps),
        **_shared(job, options),
        "ckpt.save_steps": options.save_steps or _STEPS_BETWEEN,
    }
    if options.gradient_checkpointing:
        flags["model.gradient_checkpointing_enable"] = True
    if isinstance(options, SFTOptions):
        # Without it a chat template of OpenRLHF's own is put around each prompt.
        flags |= {"data.input_key": "prompt", "data.output_key": "completion", "data.input_template": "{}"}
    if isinstance(options, RewardOptions):
        # Evaluation is not optional there, and breaks on few rows: `prepare` writes it some.
        flags |= {"eval.dataset": job.data.get("test", str(Path(job.folder) / "data" / "eval.parquet"))}
        flags |= {"data.chosen_key": "chosen", "data.rejected_key": "rejected"}
        if options.use_margin:
            flags["model.margin_loss_enable"] = True
    if isinstance(options, DPOOptions):
        flags |= _dpo(job, options)
    if options.lora is not None:
        lora = options.lora
        flags |= {"ds.lora.rank": lora.r, "ds.lora.alpha": lora.alpha, "ds.lora.dropout": lora.dropout}
        if lora.target_modules is not None:
            flags["ds.lora.target_modules"] = lora.target_modules
    return flags


def _dpo(job: Job, options: DPOOptions) -> Flags:
    flags: Flags = {
        "ref.model_name_or_path": start_of(job),
        "data.dataset": Path(job.folder) / "data" / "pairs.parquet",  # as `prepare` leaves them
        "data.prompt_key": "prompt",
        "data.chosen_key": "chosen",
        "data.rejected_key": "rejected",
        "model.beta": options.beta,
        "model.label_smoothing": options.label_smoothing,
        "model.nll_loss_coef": options.nll_loss_coef,
    }
    switches = {"model.ipo_enable": options.loss_type == "ipo_sum", "ref.offload": options.offload_reference}
    return flags | {name: True for name, on in switches.items() if on}


def _rl(job: Job, options: PolicyOptions, layout: Layout) -> Flags:
    folder = Path(job.folder)
    algorithm = ALGORITHMS[job.algorithm]
    critic = critic_of(job, options)
    warmup = options.warmup_steps
    if warmup >= 1:
        assert options.max_steps is not None  # checked by the options
        warmup = min(1.0, warmup / options.max_steps)
    flags: Flags = {
        "actor.model_name_or_path": start_of(job),
        **({} if critic is None else {"critic.model_name_or_path": critic}),
        "train.agent_func_path": folder / "agent.py",
        "data.prompt_dataset": folder / "data" / "visits.parquet",
        "data.max_samples": ALL,
        "data.input_key": "prompt",
        "data.label_key": "row",
        "data.max_len": options.max_prompt_length + options.max_completion_length,
        "rollout.max_new_tokens": options.max_completion_length,
        "rollout.batch_size": options.prompts,
        "rollout.n_samples_per_prompt": options.num_generations,
        "rollout.micro_batch_size": layout.rollout_micro_batch,
        "rollout.temperature": options.temperature,
        "rollout.top_p": options.top_p,
        "train.num_episodes": 1,  # visits are unrolled in the file
        "train.max_epochs": options.num_iterations,
        "algo.advantage.estimator": algorithm.estimator,
        "algo.advantage.is_correction_level": options.is_correction,
        "algo.kl.init_coef": options.kl,
        "actor.eps_clip": options.epsilon,
        "reward.clip_range": NO_CLIPPING,
        **_optimizer(options, options.learning_rate, warmup, "actor."),
        **_shared(job, options),
        "ckpt.save_steps": save_every(options),
    }
    if options.kl > 0 and algorithm.kl_loss is not None:
        flags |= {"algo.kl.use_loss": True, "algo.kl.estimator": algorithm.kl_loss}
    if isinstance(options, PPOOptions):
        flags |= {
            "algo.advantage.gamma": options.gamma,
            "algo.advantage.lambd": options.lam,
            "critic.value_clip": options.cliprange_value,
            **_optimizer(options, options.critic_learning_rate or options.learning_rate, warmup, "critic."),
        }
    if options.gradient_checkpointing:
        flags["actor.gradient_checkpointing_enable"] = True
    return flags | _placement(options, layout)


def _placement(options: PolicyOptions, layout: Layout) -> Flags:
    """Where each model lives."""
    flags: Flags = {}
    for role in ("actor", "ref", "critic", "reward"):  # `reward`: no such model here, but its size is asserted on
        flags |= {f"{role}.num_nodes": options.nodes, f"{role}.num_gpus_per_node": layout.gpus}
    flags |= {
        "vllm.num_engines": layout.engines,
        "vllm.tensor_parallel_size": options.vllm_tensor_parallel_size,
        "vllm.gpu_memory_utilization": options.vllm_gpu_memory_utilization,
        "vllm.sync_backend": options.vllm_sync_backend,
    }
    switches = {
        "vllm.enforce_eager": options.vllm_enforce_eager,
        "train.colocate_all": options.colocate == "all",
        "train.colocate_actor_ref": options.colocate == "actor_ref",
        "vllm.enable_sleep": options.colocate == "all" and options.sleep,
        "ds.enable_sleep": options.colocate == "all" and options.sleep,
        "ref.offload": options.offload_reference,
    }
    return flags | {name: True for name, on in switches.items() if on}


def agent_json(options: PolicyOptions, layout: Layout) -> str:
    """What the executor has to know; `prepare` adds where a resumed run continues."""
    return json.dumps({"rows_per_engine": options.prompts // layout.engines})


def row_problems(job: Job, options: TrainOptions) -> list[str]:
    """What no flag of OpenRLHF can do for this job."""
    found = []
    if options.lora is not None and (reason := lora_reason(program_of(job))):
        found.append(reason)
    start = job.made.get("start")
    if start is not None and start.adapter:
        found.append("OpenRLHF loads no adapter, and pretrain-rm would leave one: set merge: true in its options")
    if getattr(options, "lm_loss_coef", 0):
        found.append(
            "lm_loss_coef: OpenRLHF's reward models have no language model's head, and its trainer no such loss;"
            " leave it out, or use backend trl"
        )
    for path in (job.folder, start_of(job)):
        if "," in path or "@" in path:
            found.append(f"OpenRLHF splits paths at commas and @, and {path} has one: give the run another folder")
    return found
