"""The backend as the pipeline sees it: plans, logged steps, results. Imports no trainer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from salmon_core.api import Job, LaunchPlan, Leaves, LoggedStep, ProcessMemory, StageResult, Step
from salmon_core.data.yaml import read_yaml
from salmon_core.errors import ConfigError, Problem
from salmon_core.kit.training import (
    TrainerBackend,
    check_model,
    critic_start,
    environment,
    job_problems,
    read_metrics,
)
from salmon_core.kit.training_options import LoRAOptions
from salmon_trl.algorithms import ALGORITHMS, ON_PREFERENCES
from salmon_trl.layout import layout
from salmon_trl.memory import memory_of
from salmon_trl.options import PPOOptions, PretrainOptions, RewardOptions, SFTOptions, TrainOptions
from salmon_trl.steps import STEPS, read_lines


class TRLBackend(TrainerBackend):
    """SFT, reward model and policy on TRL."""

    name = "trl"
    uses_python = True
    stage_options = {"sft": SFTOptions, "pretrain-rm": PretrainOptions, "train-rm": RewardOptions}  # noqa: RUF012
    algorithm_options = {**{name: each.options for name, each in ALGORITHMS.items()}, **ON_PREFERENCES}  # noqa: RUF012
    on_preferences = frozenset(ON_PREFERENCES)

    def options_of(self, job: Job) -> TrainOptions:
        """A job's options.

        Raises:
            ConfigError: all that is wrong with them.
        """
        options = self.read_options(job)
        assert isinstance(options, TrainOptions)
        return options

    def plan(self, job: Job) -> LaunchPlan:
        """One step, run in the stage folder.

        Raises:
            ConfigError: the options cannot work, all reasons at once.
        """
        options, launch = self._validated(job), job.launch
        python = job.python or sys.executable
        run = ("-m", "salmon_trl.worker", "job.json")
        if launch.accelerate_config:
            count = ("--num_processes", str(launch.processes)) if launch.processes > 1 else ()
            argv = (python, "-m", "accelerate.commands.launch", "--config_file", launch.accelerate_config, *count, *run)
        elif launch.processes > 1:
            # Not `accelerate launch --cpu`: it silently starts one process.
            workers = ("--standalone", f"--nproc-per-node={launch.processes}")
            argv = (python, "-m", "torch.distributed.run", *workers, *run)
        else:
            argv = (python, *run)
        env = environment(threads=options.threads, device=job.model.device)
        return LaunchPlan(
            steps=(Step(job.stage, argv, env),),
            files={"job.json": job.to_json()},
            expects=("model", "metrics.json"),
        )

    def _validated(self, job: Job) -> TrainOptions:
        options, launch = self.options_of(job), job.launch
        problems: list[Problem] = []
        where = f"{job.stage} options"
        # With accelerate's own file, the number of processes may stand there: the worker checks again.
        if launch.processes > 1 or not launch.accelerate_config:
            problems += [Problem(where, text) for text in layout(options, launch.processes)[1]]
        problems += job_problems(job, launch.processes, ON_PREFERENCES)
        if job.stage == "train-policy" and job.algorithm in ALGORITHMS:
            for name in ALGORITHMS[job.algorithm].ignores:
                if getattr(options, name) is not None:
                    problems.append(Problem(where, f"{name} means nothing to {job.algorithm}", "leave it out"))
        problems += _start_problems(job, options)
        if isinstance(options, PPOOptions):
            try:
                critic_start(job, options.critic)
            except ConfigError as error:
                problems += error.problems
            if options.critic_reads == "principles" and job.reward is not None and job.reward.model is None:
                message = "is `principles`, but the reward has no reward model that is shown any"
                problems.append(Problem("options.critic_reads", message, "set critic_reads: prompt"))
            problems += _sharing_problems(job, options)
            problems += _sharding_problems(job)
        if problems:
            raise ConfigError(problems)
        return options

    def check(self, job: Job) -> None:
        """Makes TRL's own configuration of these options, in the interpreter that would train.

        Raises:
            ConfigError: what TRL, or a tracker that it reports to, refuses.
        """
        self._validated(job)
        if job.python is None:
            from salmon_trl.checking import check_arguments

            check_arguments(job)
            return
        argv = [job.python, "-m", "salmon_trl.checking"]
        try:
            done = subprocess.run(argv, input=job.to_json(), capture_output=True, text=True, check=False)
        except OSError as error:
            raise ConfigError([Problem("train.python", f"cannot be started: {error.strerror}")]) from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
            raise ConfigError([Problem(job.python, last, "install salmon-trl[train] there")])
        problems = [Problem(**values) for values in json.loads(done.stdout.splitlines()[-1])]
        if problems:
            raise ConfigError(problems)

    def leaves(self, job: Job) -> Leaves:
        """An adapter alone where one is trained and not merged."""
        options, start = self.options_of(job), job.made.get("start")
        if options.lora is None or options.merge:
            return Leaves(base=job.model.path)
        base = start.base if start is not None and start.adapter else job.model.path
        return Leaves(adapter=True, base=base, shape=shape_of(options.lora))

    def memory(self, job: Job) -> tuple[ProcessMemory, ...]:
        """See `salmon_trl.memory`."""
        return memory_of(job, self.options_of(job))

    def rows_needed(self, job: Job) -> int | None:
        """Prompts of the generated batches that `max_steps` comes to; None without `max_steps`."""
        options = self._validated(job)
        found, _ = layout(options, job.launch.processes)
        if found is None or options.max_steps is None or job.algorithm in ON_PREFERENCES:
            return None
        return -(-options.max_steps // found.window) * found.prompts

    def steps(self, folder: Path) -> Iterator[LoggedStep]:
        """The numbers logged so far; a line still being written is left out."""
        for line in read_lines(folder / STEPS):
            yield LoggedStep(line["step"], line["values"], line.get("of"))

    def finish(self, job: Job, folder: Path) -> StageResult:
        """Checks what the worker left.

        Raises:
            StageError: a file is missing, or a number is not finite.
        """
        metrics = read_metrics(folder)
        check_model(folder / "model", metrics.pop("files", []), _needed(job, metrics))
        return StageResult(metrics)


def shape_of(lora: LoRAOptions) -> str:
    """What two adapters have to have in common for one to go on from the other."""
    return f"r: {lora.r}, alpha: {lora.alpha}, target_modules: {json.dumps(lora.target_modules)}"


def _start_problems(job: Job, options: TrainOptions) -> Iterator[Problem]:
    """Whether training can start from what it is given, or leave what is asked."""
    start = job.made.get("start")
    if start is not None and start.adapter and options.lora is not None and shape_of(options.lora) != start.shape:
        message = f"({shape_of(options.lora)}) is not that of the adapter it goes on from ({start.shape})"
        yield Problem("options.lora", message, "write the same in pretrain.options, or set merge: true there")
    if job.stage == "pretrain-rm" and not options.merge and job.model.adapter is not None:
        message = "merge: false needs a whole model to start from, not one with an adapter of its own"
        yield Problem("options.merge", message, "set merge: true, or merge that adapter first")


def _sharing_problems(job: Job, options: PPOOptions) -> Iterator[Problem]:
    """What `sharing: adapters` needs of the reward model: an adapter of the policy's own base."""
    if options.sharing != "adapters" or job.reward is None or job.reward.model is None:
        return
    made, path = job.made.get("reward"), Path(job.reward.model.path)
    if made is None:
        if path.is_dir() and not (path / "adapter_config.json").is_file():
            hint = "name an adapter of the policy's model, or set sharing: separate"
            yield Problem("options.sharing", f"adapters: {path} is a whole model, not an adapter", hint)
    elif not made.adapter:
        hint = "set `lora` and `merge: false` in reward_model.options, or sharing: separate"
        yield Problem("options.sharing", "adapters: train-rm will leave a whole model, not an adapter", hint)
    elif made.base != job.model.path:
        message = f"adapters: train-rm adapts {made.base}, and the policy is {job.model.path}"
        yield Problem("options.sharing", message, "start both from one model, or set sharing: separate")


def _sharding_problems(job: Job) -> Iterator[Problem]:
    """PPO here shards a critic by FSDP2, and only a model of its own that is trained whole."""
    file = job.launch.accelerate_config
    if file is None or not Path(file).is_file():
        return
    try:
        values = read_yaml(Path(file))
    except ConfigError as error:
        yield from error.problems
        return
    kind = str(values.get("distributed_type", "NO")).upper() if isinstance(values, Mapping) else "NO"
    if kind in ("DEEPSPEED", "MEGATRON_LM"):
        hint = "use FSDP with fsdp_version: 2, MULTI_GPU or MULTI_CPU, another algorithm, or backend openrlhf"
        yield Problem("launch.accelerate_config", f"PPO on TRL does not run under {kind}: it shards no critic", hint)
    if kind == "FSDP":
        own = values.get("fsdp_config")
        version = own.get("fsdp_version") if isinstance(own, Mapping) else None
        if str(version) != "2":
            hint = "set fsdp_config: {fsdp_version: 2, ...}"
            yield Problem("launch.accelerate_config", "PPO on TRL shards its critic by FSDP2 alone", hint)
        if job.options.get("lora") is not None:
            hint = "leave lora out, or use MULTI_GPU, where each process has all of the model below the adapters"
            yield Problem("options.lora", "PPO on TRL shards a critic that is trained whole, not adapters", hint)


def _needed(job: Job, metrics: Mapping[str, Any]) -> Iterator[str]:
    """Files that this model's folder has beside weights and tokenizer."""
    yield "adapter_config.json" if metrics.get("adapter") else "config.json"
    if job.algorithm != "reward" and (job.model.fallback_chat_template or metrics.get("chat_template")):
        yield "chat_template.jinja"
